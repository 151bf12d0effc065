#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "net/http_server.h"
#include "net/stream.h"

namespace net {

/// Takes the requests of one connection apart: heads, then bodies in pieces. Keeps what was read
/// beyond a request for the next one. Used by one thread. Internal to `net`.
class RequestReader {
 public:
  struct Limits {
    std::size_t max_head_bytes;
    std::chrono::milliseconds head_timeout;
    std::chrono::milliseconds io_timeout;
  };
  RequestReader(Stream& stream, Limits limits);
  ~RequestReader();

  /// Waits for the next head, at most `idle` for its first byte. False when none began, `leave` was
  /// signalled before it did, or the connection or the server ended: nothing is to be answered.
  /// The body of the request before must be done.
  /// Errors, to be answered with their http_status: Invalid 400, 431, 501, Timeout 408.
  base::Result<bool> read_head(std::chrono::milliseconds idle, const Event& leave,
                               HttpRequestHead& out);

  /// Up to `buffer.size()` bytes of the body, 0 at its end.
  /// Errors: Invalid 400 when malformed, Timeout 408, Cancelled when the client vanished.
  base::Result<std::size_t> read_body(std::span<char> buffer);
  bool body_done() const;
  /// Bytes of the body that are not read yet; nothing when chunked.
  std::optional<std::uint64_t> body_remaining() const;
  /// True when bytes of the body are here already.
  bool has_buffered() const;
  /// Reads and drops the rest of the body. False when it is longer than `limit_bytes` or fails.
  bool skip_body(std::size_t limit_bytes);

  bool is_http_1_0() const;
  /// What version and Connection field ask for; false after an error.
  bool keep_alive() const;
  bool expects_continue() const;

 private:
  struct Impl;
  base::Result<bool> fill(std::size_t want, base::SteadyTime deadline, const Event* other);
  base::Status check_framing() const;
  base::Status fill_head(HttpRequestHead& out) const;

  Stream& stream_;
  const Limits limits_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
