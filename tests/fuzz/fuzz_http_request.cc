#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/file.h"
#include "net/request_reader.h"
#include "net/stream.h"

namespace {

/// More would not fit into the socket's buffer before the reader runs.
constexpr std::size_t kMaxInputBytes = 32 << 10;

/// Reads requests until the connection ends, as a server does.
void read_requests(net::Stream& stream, const net::Event& never) {
  using namespace std::chrono_literals;
  net::RequestReader reader(stream,
                            {.max_head_bytes = 1 << 10, .head_timeout = 1s, .io_timeout = 1s});
  std::size_t total = 0;
  for (;;) {
    net::HttpRequestHead head;
    const auto got = reader.read_head(1s, never, head);
    if (!got && got.error().http_status() == 0) std::abort();
    if (!got || !*got) return;
    std::array<char, 777> buffer;
    while (!reader.body_done()) {
      const auto bytes = reader.read_body(buffer);
      if (!bytes) return;
      total += *bytes;
      if (total > kMaxInputBytes) std::abort();  // More came out than went in.
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMaxInputBytes) return 0;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
  base::UniqueFd peer(ends[1]);
  if (!base::write_all(peer.get(), std::string_view(reinterpret_cast<const char*>(data), size)))
    std::abort();
  peer.reset();
  const auto never = net::Event::create();
  net::Stream stream(base::UniqueFd(ends[0]), *never);
  read_requests(stream, *never);
  return 0;
}
