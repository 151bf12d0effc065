#include "net/http_exchange.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <iterator>

#include "base/file.h"
#include "net/http_syntax.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

/// A request body up to this size is read and dropped to keep the connection; a longer one ends it.
constexpr std::size_t kMaxSkippedBodyBytes = 256 << 10;
constexpr std::size_t kFirstBodyBytes = 16 << 10;
constexpr std::size_t kMaxBodyStepBytes = 1 << 20;

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

/// RFC 9110 section 5.6.7, such as `Tue, 24 Nov 2026 18:21:59 GMT`.
std::string http_date() {
  static constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

Error too_large(std::size_t limit) {
  return Error(ErrorCode::Invalid, fmt::format("the body is larger than {} bytes", limit))
      .with_http_status(413);
}

}  // namespace

HttpResponse HttpResponse::text(int status, std::string body) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(body)};
}

HttpResponse HttpResponse::json(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

std::string closing_response(int status, std::string_view line, std::string_view extra_fields) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: text/plain; "
      "charset=utf-8\r\n"
      "Content-Length: {}\r\nConnection: close\r\n{}\r\n{}\n",
      status, reason_phrase(status), http_date(), line.size() + 1, extra_fields, line);
}

Status ServerExchange::send_continue_if_wanted() {
  if (continue_sent_ || answered() || !deps_.reader.expects_continue()) return {};
  continue_sent_ = true;
  if (deps_.reader.has_buffered() || deps_.reader.body_done()) return {};
  return deps_.stream.write_all({"HTTP/1.1 100 Continue\r\n\r\n"}, deps_.io_timeout);
}

Result<std::size_t> ServerExchange::read_some(std::span<char> buffer) {
  TRY(send_continue_if_wanted());
  return deps_.reader.read_body(buffer);
}

Result<std::string> ServerExchange::read_body(std::size_t limit_bytes) {
  const auto announced = deps_.reader.body_remaining();
  if (announced && *announced > limit_bytes) return too_large(limit_bytes);
  std::string body;
  std::size_t step = kFirstBodyBytes;
  for (;;) {
    // Memory follows the bytes that came, not those that were announced.
    const std::size_t before = body.size();
    std::size_t want = step;
    if (announced) want = std::min<std::uint64_t>(want, *announced - before + 1);
    body.resize(before + want);
    const std::size_t got = TRY(read_some(std::span(body.data() + before, want)));
    body.resize(before + got);
    if (got == 0) return body;
    if (body.size() > limit_bytes) return too_large(limit_bytes);
    step = std::min(step * 2, kMaxBodyStepBytes);
  }
}

Status ServerExchange::check_unanswered() const {
  if (answer_ != Answer::None) return Error(ErrorCode::Internal, "the request was answered before");
  return {};
}

bool ServerExchange::decide_keep_alive(const HttpResponse& response) {
  for (const auto& [name, value] : response.headers) {
    if (to_lower(name) == "connection" && to_lower(value).find("close") != std::string::npos)
      return false;
  }
  if (!deps_.reader.keep_alive() || !deps_.may_keep_alive()) return false;
  if (deps_.reader.body_done()) return true;
  // A client that waits for 100 Continue may send the body or not: nobody can tell what follows.
  if (deps_.reader.expects_continue() && !continue_sent_) return false;
  const auto remaining = deps_.reader.body_remaining();
  return remaining && *remaining <= kMaxSkippedBodyBytes;
}

/// Errors: Internal for a status that is none, Invalid for a field that would break the head.
Result<std::string> ServerExchange::make_head(const HttpResponse& response, Framing framing) {
  if (response.status < 200 || response.status > 599)
    return Error(ErrorCode::Internal, fmt::format("{} is not an HTTP status", response.status));
  keep_alive_ = decide_keep_alive(response);
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  if (!response.headers.get("Date")) head.append("Date: ").append(http_date()).append("\r\n");
  for (const auto& field : response.headers) {
    if (!is_token(field.first) || !is_field_value(field.second))
      return Error(ErrorCode::Invalid,
                   fmt::format("the response field '{}' holds a forbidden character", field.first));
    const std::string name = to_lower(field.first);
    if (name == "connection" || name == "content-length" || name == "transfer-encoding") continue;
    head.append(field.first).append(": ").append(field.second).append("\r\n");
  }
  if (!has_no_body(response.status)) {
    if (framing.chunked) head += "Transfer-Encoding: chunked\r\n";
    if (framing.length)
      fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", *framing.length);
  }
  if (!keep_alive_) head += "Connection: close\r\n";
  if (keep_alive_ && deps_.reader.is_http_1_0()) head += "Connection: keep-alive\r\n";
  head += "\r\n";
  return head;
}

Status ServerExchange::send(std::string_view head, std::string_view body, Answer next) {
  const Status written = deps_.stream.write_all({head, body}, deps_.io_timeout);
  answer_ = written ? next : Answer::Broken;
  return written;
}

Status ServerExchange::respond(HttpResponse response) {
  TRY(check_unanswered());
  Framing framing{.length = response.body.size()};
  if (is_head() && response.body.empty()) {
    // The length of what a GET would carry, when the handler knows it.
    std::uint64_t length = 0;
    const std::string_view text = response.headers.get_or("Content-Length", "");
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (!text.empty() && code == std::errc{} && end == text.data() + text.size())
      framing.length = length;
  }
  const std::string head = TRY(make_head(response, framing));
  const bool drop = is_head() || has_no_body(response.status);
  return send(head, drop ? std::string_view() : response.body, Answer::Complete);
}

Status ServerExchange::send_file(HttpResponse head, const std::filesystem::path& file,
                                 std::uint64_t offset, std::uint64_t length) {
  TRY(check_unanswered());
  const base::UniqueFd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened) return base::system_error(fmt::format("opening {}", file.string()), errno);
  struct stat facts{};
  if (::fstat(opened.get(), &facts) != 0)
    return base::system_error(fmt::format("reading {}", file.string()), errno);
  const auto size = static_cast<std::uint64_t>(std::max<off_t>(facts.st_size, 0));
  if (!S_ISREG(facts.st_mode) || offset > size || length > size - offset) {
    return Error(ErrorCode::Invalid, fmt::format("{} does not hold {} bytes from offset {}",
                                                 file.string(), length, offset));
  }
  const std::string text = TRY(make_head(head, {.length = length}));
  TRY(send(text, "", Answer::Complete));
  if (is_head() || has_no_body(head.status)) return {};
  const Status sent = deps_.stream.write_file(opened.get(), offset, length, deps_.io_timeout);
  if (!sent) answer_ = Answer::Broken;
  return sent;
}

Status ServerExchange::start_stream(HttpResponse head) {
  TRY(check_unanswered());
  chunked_ = !deps_.reader.is_http_1_0();
  drop_body_ = is_head() || has_no_body(head.status);
  if (!chunked_) head.headers.set("Connection", "close");
  const std::string text = TRY(make_head(head, {.chunked = chunked_}));
  return send(text, "", Answer::Streaming);
}

Status ServerExchange::write(std::string_view chunk) {
  if (answer_ == Answer::Broken)
    return Error(ErrorCode::Cancelled, "the client closed the connection");
  if (answer_ != Answer::Streaming)
    return Error(ErrorCode::Internal, "write needs start_stream before it");
  if (drop_body_ || chunk.empty()) return {};
  Status written;
  if (chunked_) {
    const std::string size = fmt::format("{:x}\r\n", chunk.size());
    written = deps_.stream.write_all({size, chunk, "\r\n"}, deps_.io_timeout);
  } else {
    written = deps_.stream.write_all({chunk}, deps_.io_timeout);
  }
  if (!written) answer_ = Answer::Broken;
  return written;
}

bool ServerExchange::finish() {
  if (answer_ == Answer::Streaming) {
    Status ended;
    if (chunked_ && !drop_body_) ended = deps_.stream.write_all({"0\r\n\r\n"}, deps_.io_timeout);
    answer_ = ended ? Answer::Complete : Answer::Broken;
  }
  if (answer_ != Answer::Complete || !keep_alive_) return false;
  return deps_.reader.skip_body(kMaxSkippedBodyBytes);
}

}  // namespace net
