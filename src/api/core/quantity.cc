#include "api/core/quantity.h"

#include <fmt/format.h>

#include <cmath>

namespace api {
namespace {

using base::Error;
using base::ErrorCode;

struct Suffix {
  std::string_view text;
  long double factor;
};
constexpr long double kKibi = 1024.0L;
constexpr Suffix kSuffixes[] = {
    {"Ki", kKibi},
    {"Mi", kKibi* kKibi},
    {"Gi", kKibi* kKibi* kKibi},
    {"Ti", kKibi* kKibi* kKibi* kKibi},
    {"Pi", kKibi* kKibi* kKibi* kKibi* kKibi},
    {"Ei", kKibi* kKibi* kKibi* kKibi* kKibi* kKibi},
    {"n", 1e-9L},
    {"u", 1e-6L},
    {"m", 1e-3L},
    {"k", 1e3L},
    {"M", 1e6L},
    {"G", 1e9L},
    {"T", 1e12L},
    {"P", 1e15L},
    {"E", 1e18L},
};

Error invalid(std::string_view text) {
  return Error(ErrorCode::Invalid,
               fmt::format("'{}' is not a quantity such as 500m, 2 or 16Gi", text.substr(0, 64)));
}

/// The amount as a number; long double holds every 63-bit integer exactly on x86-64.
base::Result<long double> parse(std::string_view text) {
  std::size_t digits = 0;
  std::size_t at = 0;
  const auto skip_digits = [&] {
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      ++at;
      ++digits;
    }
  };
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) ++at;
  skip_digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    skip_digits();
  }
  constexpr std::size_t kMaxDigits = 40;
  if (digits == 0 || digits > kMaxDigits) return invalid(text);
  const long double number = std::strtold(std::string(text.substr(0, at)).c_str(), nullptr);
  const std::string_view rest = text.substr(at);
  if (rest.empty()) return number;
  for (const Suffix& suffix : kSuffixes) {
    if (rest == suffix.text) return number * suffix.factor;
  }
  // A decimal exponent: e3, E-2.
  if ((rest[0] == 'e' || rest[0] == 'E') && rest.size() > 1 && rest.size() <= 4 &&
      rest.find_first_not_of("0123456789", rest[1] == '-' || rest[1] == '+' ? 2 : 1) ==
          std::string_view::npos) {
    return number * std::pow(10.0L, std::strtold(std::string(rest.substr(1)).c_str(), nullptr));
  }
  return invalid(text);
}

base::Result<std::int64_t> to_integer(long double value, std::string_view text) {
  constexpr long double kLimit = 9.2e18L;
  if (!(value < kLimit && value > -kLimit))
    return Error(ErrorCode::Invalid, fmt::format("'{}' is too large", text.substr(0, 64)));
  return static_cast<std::int64_t>(std::ceil(value));
}

}  // namespace

base::Result<Quantity> Quantity::from_json(const json::Value& value) {
  if (const auto* text = value.if_string()) {
    Quantity quantity(json::to_string(*text));
    TRY(parse(quantity.text));
    return quantity;
  }
  if (value.is_number()) return Quantity(json::dump(value));
  return Error(ErrorCode::Invalid,
               fmt::format("expected a quantity, found {}", json::kind_name(value)));
}

json::Value Quantity::to_json() const { return json::String(text); }

json::Object Quantity::json_schema() {
  return {
      {"anyOf", json::Array{json::Object{{"type", "integer"}}, json::Object{{"type", "string"}}}},
      {"x-kubernetes-int-or-string", true}};
}

base::Result<std::int64_t> quantity_units(std::string_view text) {
  return to_integer(TRY(parse(text)), text);
}
base::Result<std::int64_t> quantity_bytes(std::string_view text) { return quantity_units(text); }
base::Result<std::int64_t> quantity_milli(std::string_view text) {
  return to_integer(TRY(parse(text)) * 1000.0L, text);
}

Quantity bytes_quantity(std::int64_t bytes) {
  constexpr std::string_view kUnits[] = {"", "Ki", "Mi", "Gi", "Ti"};
  std::size_t unit = 0;
  while (unit + 1 < std::size(kUnits) && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return Quantity(fmt::format("{}{}", bytes, kUnits[unit]));
}

}  // namespace api
