#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"

struct ssl_st;
struct ssl_ctx_st;

namespace net {

/// A level-triggered flag that wakes polls: an eventfd that is only ever set.
class Event {
 public:
  /// Errors: Internal when the process is out of descriptors.
  static base::Result<Event> create();
  void signal() const;
  void clear() const;
  int fd() const { return fd_.get(); }

 private:
  explicit Event(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

/// The server's side of one TCP connection, plain or TLS, with every wait bounded by a deadline and
/// the server's stop event. Used by one thread. Internal to `net`. Errors: Cancelled when stopped
/// or when the peer closed or broke the connection, Timeout.
class Stream {
 public:
  /// `socket` is non-blocking. `stop_event` outlives the stream.
  Stream(base::UniqueFd socket, const Event& stop_event);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Whether the first byte opens a TLS handshake; takes nothing.
  base::Result<bool> starts_with_tls(base::SteadyTime deadline, const Event* other);
  /// Performs the handshake; afterwards all bytes are encrypted.
  /// Errors: as the class, Invalid when the peer does not speak TLS or its certificate is refused.
  base::Status accept_tls(ssl_ctx_st* context, base::SteadyTime deadline, const Event* other);
  bool is_tls() const { return ssl_ != nullptr; }
  /// Common name of the verified client certificate, "" without one.
  std::string peer_common_name() const;

  /// Some bytes; 0 at the end of the peer's data. Takes what is there before it waits.
  base::Result<std::size_t> read_some(std::span<char> buffer, base::SteadyTime deadline) {
    return read_some_or(buffer, deadline, nullptr);
  }
  /// As `read_some`; Cancelled also when `other` is signalled and nothing is there.
  base::Result<std::size_t> read_some_or(std::span<char> buffer, base::SteadyTime deadline,
                                         const Event* other);
  /// Writes all parts in order; the limit applies to each stretch without progress.
  base::Status write_all(std::initializer_list<std::string_view> parts,
                         std::chrono::milliseconds progress_timeout);
  /// Writes `length` bytes of `file` from `offset`. Errors also: Internal when the file is shorter.
  base::Status write_file(int file, std::uint64_t offset, std::uint64_t length,
                          std::chrono::milliseconds progress_timeout);

  /// True once the peer shut down its side or the connection broke. Never waits.
  bool peer_closed() const;
  /// Ends our side: close_notify on TLS, then FIN.
  void shut_down_write();
  /// Makes closing a reset, so that the peer cannot take a cut answer for a whole one.
  void reset_on_close();
  /// Reads and drops what the peer still sends, so that closing does not reset the connection
  /// before the peer has read the answer (RFC 9112 section 9.6).
  void linger(std::chrono::milliseconds limit);

 private:
  base::Status wait(short events, base::SteadyTime deadline, const Event* other);
  base::Result<std::size_t> read_tls(std::span<char> buffer, base::SteadyTime deadline,
                                     const Event* other);
  base::Result<std::size_t> read_plain(std::span<char> buffer, base::SteadyTime deadline,
                                       const Event* other);
  base::Status write_tls(std::string_view bytes, std::chrono::milliseconds progress_timeout);
  base::Status write_plain(std::initializer_list<std::string_view> parts,
                           std::chrono::milliseconds progress_timeout);
  base::Status send_file_plain(int file, std::uint64_t offset, std::uint64_t length,
                               std::chrono::milliseconds progress_timeout);
  base::Status copy_file(int file, std::uint64_t offset, std::uint64_t length,
                         std::chrono::milliseconds progress_timeout);
  /// Turns the outcome of an SSL call into a wait (success) or an error.
  base::Status wait_tls(int result, base::SteadyTime deadline, const Event* other);

  base::UniqueFd socket_;
  const Event& stop_event_;
  ssl_st* ssl_ = nullptr;
  bool broken_ = false;
};

}  // namespace net
