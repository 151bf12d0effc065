#include "base/clock.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>

namespace base {
namespace {

std::tm to_utc(std::time_t seconds) {
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return parts;
}

std::string format_seconds(std::time_t seconds) {
  const std::tm utc = to_utc(seconds);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

/// Reads exactly `digits` digits at the front of `text` and drops them.
bool take_number(std::string_view& text, std::size_t digits, int& out) {
  if (text.size() < digits) return false;
  const auto [end, code] = std::from_chars(text.data(), text.data() + digits, out);
  if (code != std::errc{} || end != text.data() + digits || out < 0) return false;
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string format_rfc3339(SystemTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return format_seconds(std::chrono::system_clock::to_time_t(seconds)) + "Z";
}

std::string format_rfc3339_micro(SystemTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds);
  return fmt::format("{}.{:06}Z", format_seconds(std::chrono::system_clock::to_time_t(seconds)),
                     micros.count());
}

Result<SystemTime> parse_rfc3339(std::string_view text) {
  const Error invalid(ErrorCode::Invalid,
                      fmt::format("not an RFC 3339 time: '{}'", text.substr(0, 64)));
  std::tm parts{};
  if (!take_number(text, 4, parts.tm_year) || !take(text, '-') ||
      !take_number(text, 2, parts.tm_mon) || !take(text, '-') ||
      !take_number(text, 2, parts.tm_mday) || !(take(text, 'T') || take(text, 't')) ||
      !take_number(text, 2, parts.tm_hour) || !take(text, ':') ||
      !take_number(text, 2, parts.tm_min) || !take(text, ':') ||
      !take_number(text, 2, parts.tm_sec)) {
    return invalid;
  }
  if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
      parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60) {
    return invalid;
  }
  long long nanos = 0;
  if (take(text, '.')) {
    long long scale = 100'000'000;
    bool any = false;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      nanos += (text.front() - '0') * scale;
      scale /= 10;
      any = true;
      text.remove_prefix(1);
    }
    if (!any) return invalid;
  }
  std::chrono::minutes offset{0};
  if (!(take(text, 'Z') || take(text, 'z'))) {
    const bool west = !text.empty() && text.front() == '-';
    if (!take(text, '+') && !take(text, '-')) return invalid;
    int hours = 0;
    int minutes = 0;
    if (!take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, minutes)) {
      return invalid;
    }
    offset = std::chrono::minutes(hours * 60 + minutes) * (west ? -1 : 1);
  }
  if (!text.empty()) return invalid;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const std::time_t seconds = ::timegm(&parts);
  return std::chrono::system_clock::from_time_t(seconds) - offset +
         std::chrono::duration_cast<SystemTime::duration>(std::chrono::nanoseconds(nanos));
}

}  // namespace base
