#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "net/tls.h"

struct ssl_st;

namespace net {

/// One accepted socket, plain or TLS, whose every wait is bounded by a deadline and by a wake
/// descriptor that becomes readable when the server stops. One thread at a time, except that
/// `peer_gone` may be called by any.
class Connection {
 public:
  /// `wake_fd` is borrowed and never read from.
  Connection(base::UniqueFd fd, int wake_fd);
  ~Connection();

  /// Errors: those of `read_some`, and Unauthorized when the handshake fails.
  base::Status accept_tls(const TlsServerConfig& config, base::SteadyTime deadline);
  /// At least one byte, or 0 at the end of the stream. Errors: Timeout, Cancelled (stop or reset).
  base::Result<std::size_t> read_some(std::span<char> buffer, base::SteadyTime deadline);
  /// Everything; `progress` bounds each step, not the whole.
  base::Status write_all(std::string_view bytes, std::chrono::milliseconds progress);
  /// `length` bytes of `file` from `offset`.
  base::Status send_file(int file, std::uint64_t offset, std::uint64_t length, std::chrono::milliseconds progress);
  bool peer_gone() const;
  std::string client_common_name() const;
  std::string peer_address() const;
  /// Ends writing and waits a moment for the peer to read what was sent.
  void finish();

 private:
  enum class Want { Read, Write };
  base::Status wait(Want want, base::SteadyTime deadline) const;
  base::Result<Want> tls_want(int result) const;

  base::UniqueFd fd_;
  int wake_fd_;
  ssl_st* ssl_ = nullptr;
};

}  // namespace net
