#include "net/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <string>

namespace net {
namespace {

namespace http = boost::beast::http;
using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using Parser = http::request_parser<http::buffer_body>;

/// Larger buffers are given back while a connection is idle.
constexpr std::size_t kHeadReadBytes = 8 << 10;
constexpr std::size_t kBodyReadBytes = 64 << 10;

Error malformed(std::string_view why, int status = 400) {
  return Error(ErrorCode::Invalid, fmt::format("malformed request: {}", why))
      .with_http_status(status);
}

Error head_too_large(std::size_t limit) {
  return Error(ErrorCode::Invalid, fmt::format("the request head is larger than {} bytes", limit))
      .with_http_status(431);
}

Error with_timeout_status(Error error) {
  if (error.code() != ErrorCode::Timeout) return error;
  return std::move(error).with_http_status(408);
}

/// Drops the scheme and authority of an absolute-form target (RFC 9112 section 3.2.2).
std::string origin_form(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const std::size_t end = target.find_first_of("/?", scheme.size());
    if (end == std::string_view::npos) return "/";
    return target[end] == '/' ? std::string(target.substr(end))
                              : fmt::format("/{}", target.substr(end));
  }
  return std::string(target);
}

}  // namespace

struct RequestReader::Impl {
  boost::beast::flat_buffer buffer;
  std::optional<Parser> parser;
  std::size_t max_buffered;
  bool failed = false;

  /// Feeds what is buffered to the parser.
  boost::system::error_code parse() {
    boost::system::error_code ec;
    buffer.consume(parser->put(buffer.data(), ec));
    return ec;
  }

  /// An empty line before a request is ignored (RFC 9112 section 2.2).
  void skip_empty_lines() {
    const auto* data = static_cast<const char*>(buffer.data().data());
    std::size_t count = 0;
    while (count < buffer.size() && (data[count] == '\r' || data[count] == '\n')) ++count;
    buffer.consume(count);
  }
};

RequestReader::RequestReader(Stream& stream, Limits limits)
    : stream_(stream), limits_(limits), impl_(std::make_unique<Impl>()) {
  impl_->max_buffered = limits.max_head_bytes + kBodyReadBytes;
}

RequestReader::~RequestReader() = default;

/// Reads once into the buffer; false at the end of the stream.
Result<bool> RequestReader::fill(std::size_t want, base::SteadyTime deadline, const Event* other) {
  auto& buffer = impl_->buffer;
  if (buffer.size() >= impl_->max_buffered) return head_too_large(limits_.max_head_bytes);
  const auto room = buffer.prepare(want);
  const std::size_t got = TRY(stream_.read_some_or(
      std::span(static_cast<char*>(room.data()), room.size()), deadline, other));
  buffer.commit(got);
  return got > 0;
}

Result<bool> RequestReader::read_head(std::chrono::milliseconds idle, const Event& leave,
                                      HttpRequestHead& out) {
  auto& buffer = impl_->buffer;
  auto& parser = impl_->parser;
  parser.emplace();
  parser->header_limit(static_cast<std::uint32_t>(limits_.max_head_bytes));
  parser->body_limit(boost::none);
  if (buffer.size() == 0 && buffer.capacity() > kHeadReadBytes) buffer.shrink_to_fit();
  impl_->failed = true;  // Until proven otherwise: every early return ends the connection.
  bool begun = false;
  auto deadline = std::chrono::steady_clock::now() + idle;
  for (;;) {
    if (!begun) impl_->skip_empty_lines();
    if (!begun && buffer.size() > 0) {
      begun = true;
      deadline = std::chrono::steady_clock::now() + limits_.head_timeout;
    }
    if (begun) {
      const auto ec = impl_->parse();
      if (ec == http::error::header_limit) return head_too_large(limits_.max_head_bytes);
      if (ec && ec != http::error::need_more) return malformed(ec.message());
      if (!ec && parser->is_header_done()) break;
    }
    auto filled = fill(kHeadReadBytes, deadline, begun ? nullptr : &leave);
    if (!filled && (filled.error().code() == ErrorCode::Cancelled || !begun)) return false;
    if (!filled && filled.error().code() == ErrorCode::Timeout) {
      return Error(ErrorCode::Timeout, "the request head did not arrive in time")
          .with_http_status(408);
    }
    if (!TRY(std::move(filled))) return false;
  }
  TRY(check_framing());
  TRY(fill_head(out));
  impl_->failed = false;
  return true;
}

/// Refuses what two parties could read as different requests.
Status RequestReader::check_framing() const {
  const auto& fields = impl_->parser->get();
  const auto encodings = fields.equal_range(http::field::transfer_encoding);
  const auto count = std::distance(encodings.first, encodings.second);
  if (count > 1) return malformed("more than one Transfer-Encoding");
  if (count == 1 && !boost::beast::iequals(encodings.first->value(), "chunked"))
    return malformed("only the transfer encoding chunked is known", 501);
  return {};
}

Status RequestReader::fill_head(HttpRequestHead& out) const {
  const auto& message = impl_->parser->get();
  const auto view = [](auto text) { return std::string(text.data(), text.size()); };
  out.method = view(message.method_string());
  out.raw_target = view(message.target());
  for (const auto& field : message) out.headers.add(view(field.name_string()), view(field.value()));
  auto target = HttpTarget::parse(origin_form(out.raw_target));
  if (!target) return malformed("the target is not a path with an optional query");
  out.target = *std::move(target);
  return {};
}

Result<std::size_t> RequestReader::read_body(std::span<char> buffer) {
  if (impl_->failed) return malformed("an earlier part of the body was not readable");
  auto& parser = *impl_->parser;
  auto& body = parser.get().body();
  body.data = buffer.data();
  body.size = buffer.size();
  auto deadline = std::chrono::steady_clock::now() + limits_.io_timeout;
  while (!parser.is_done() && body.size > 0) {
    bool need_more = impl_->buffer.size() == 0;
    if (!need_more) {
      const auto ec = impl_->parse();
      if (ec == http::error::need_buffer) break;
      need_more = ec == http::error::need_more;
      if (ec && !need_more) {
        impl_->failed = true;
        return malformed(ec.message());
      }
    }
    if (!need_more) continue;
    if (body.size < buffer.size()) break;  // What is here goes out before we wait.
    auto filled = fill(kBodyReadBytes, deadline, nullptr);
    if (filled && *filled) continue;
    impl_->failed = true;
    if (filled) return Error(ErrorCode::Cancelled, "the client closed the connection in the body");
    return with_timeout_status(std::move(filled).error());
  }
  return buffer.size() - body.size;
}

bool RequestReader::body_done() const { return !impl_->failed && impl_->parser->is_done(); }

std::optional<std::uint64_t> RequestReader::body_remaining() const {
  if (impl_->parser->is_done()) return 0;
  const auto remaining = impl_->parser->content_length_remaining();
  if (!remaining) return std::nullopt;
  return *remaining;
}

bool RequestReader::has_buffered() const { return impl_->buffer.size() > 0; }

bool RequestReader::skip_body(std::size_t limit_bytes) {
  std::array<char, 16 << 10> dropped;
  std::size_t total = 0;
  while (!body_done()) {
    const auto got = read_body(dropped);
    if (!got) return false;
    total += *got;
    if (total > limit_bytes) return false;
    if (*got == 0) break;
  }
  return body_done();
}

bool RequestReader::is_http_1_0() const { return impl_->parser->get().version() < 11; }

bool RequestReader::keep_alive() const { return !impl_->failed && impl_->parser->keep_alive(); }

bool RequestReader::expects_continue() const {
  return !is_http_1_0() &&
         boost::beast::iequals(impl_->parser->get()[http::field::expect], "100-continue");
}

}  // namespace net
