#include "nodeagent/proxy/relay.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/file.h"

namespace nodeagent {
namespace {

using testing::ElementsAre;

constexpr const char* kIp = "127.0.0.1";

sockaddr_in address_of(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, kIp, &address.sin_addr);
  return address;
}

base::UniqueFd connect_to(std::uint16_t port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = address_of(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return base::UniqueFd();
  const timeval limit{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return fd;
}

/// Everything until the end of the stream; "(reset)" when it breaks.
std::string read_all(int fd) {
  std::string all;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0) return "(reset)";
    if (got == 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

/// Answers each connection with its name and, once the client has finished, the bytes it sent.
class EchoServer {
 public:
  explicit EchoServer(std::string name) : name_(std::move(name)) {
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = address_of(0);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), 64), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        pollfd waiting{fd_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, 20) <= 0) continue;
        const base::UniqueFd client(::accept(fd_.get(), nullptr, nullptr));
        const std::string all = read_all(client.get());
        (void)base::write_all(client.get(), name_ + ":" + all);
      }
    });
  }
  SocketAddress address() const { return {kIp, port_}; }

 private:
  std::string name_;
  base::UniqueFd fd_;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

std::string ask(std::uint16_t port, const std::string& text) {
  const base::UniqueFd fd = connect_to(port);
  if (!fd) return "(refused)";
  (void)base::write_all(fd.get(), text);
  ::shutdown(fd.get(), SHUT_WR);
  return read_all(fd.get());
}

SocketAddress unused_address() {
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = address_of(0);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return {kIp, ntohs(address.sin_port)};
}

TEST(TcpRelay, SharesConnectionsAmongBackendsAndKeepsHalfCloses) {
  const EchoServer one("one");
  const EchoServer two("two");
  TcpRelay relay{base::Logger()};
  const auto port = relay.listen({kIp, 0}, {one.address(), two.address()});
  ASSERT_TRUE(port) << port.error().message();
  EXPECT_EQ(ask(*port, "a"), "one:a");
  EXPECT_EQ(ask(*port, "b"), "two:b");
  EXPECT_EQ(ask(*port, ""), "one:");
  EXPECT_EQ(relay.counters().accepted, 3U);
}

TEST(TcpRelay, CarriesMuchMoreThanItsBuffers) {
  const EchoServer server("x");
  TcpRelay relay{base::Logger()};
  const auto port = relay.listen({kIp, 0}, {server.address()});
  std::string large(8 << 20, '.');
  for (std::size_t i = 0; i < large.size(); i += 997) large[i] = static_cast<char>('a' + i % 23);
  EXPECT_EQ(ask(*port, large), "x:" + large);
}

TEST(TcpRelay, PassesOverBackendsThatRefuse) {
  const EchoServer server("up");
  TcpRelay relay{base::Logger()};
  const auto port = relay.listen({kIp, 0}, {unused_address(), server.address(), unused_address()});
  for (int i = 0; i < 6; ++i) EXPECT_EQ(ask(*port, "q"), "up:q");
}

TEST(TcpRelay, ResetsClientsWhenNoBackendAnswers) {
  TcpRelay relay{base::Logger()};
  const auto port = relay.listen({kIp, 0}, {unused_address()});
  EXPECT_EQ(ask(*port, "q"), "(reset)");
  // It counts after it closes.
  for (int i = 0; i < 1000 && relay.counters().refused == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(relay.counters().refused, 1U);
}

TEST(TcpRelay, TakesNewBackendsAndRefusesWhenClosed) {
  const EchoServer one("one");
  const EchoServer two("two");
  TcpRelay relay{base::Logger()};
  const auto port = relay.listen({kIp, 0}, {one.address()});
  const SocketAddress at{kIp, *port};
  EXPECT_EQ(ask(*port, "a"), "one:a");
  ASSERT_TRUE(relay.listen(at, {two.address()}));
  EXPECT_EQ(ask(*port, "b"), "two:b");
  const base::UniqueFd open = connect_to(*port);
  (void)base::write_all(open.get(), "still");
  // Accepted before the listener goes.
  while (relay.counters().accepted < 3) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  relay.close(at);
  EXPECT_EQ(ask(*port, "c"), "(refused)");
  ::shutdown(open.get(), SHUT_WR);
  EXPECT_EQ(read_all(open.get()), "two:still");
}

TEST(TcpRelay, NamesThePortInUse) {
  TcpRelay relay{base::Logger()};
  const EchoServer server("x");
  const auto port = relay.listen(server.address(), {server.address()});
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code(), base::ErrorCode::AlreadyExists);
}

TEST(ServiceListeners, OnePerPortWithReadyEndpoints) {
  api::Service service;
  service.spec.cluster_ip = "127.64.0.9";
  service.spec.ports = {{.name = "http", .port = 80, .target_port = 5000},
                        {.name = "torch", .port = 29500, .target_port = 29500},
                        {.name = "dns", .protocol = "UDP", .port = 53, .target_port = 53}};
  api::Endpoints endpoints;
  endpoints.subsets = {
      {.addresses = {{.ip = "127.32.0.2"}, {.ip = "127.32.0.1"}},
       .not_ready_addresses = {{.ip = "127.32.0.3"}},
       .ports = {{.name = "http", .port = 5000}, {.name = "dns", .port = 53, .protocol = "UDP"}}}};
  const auto listeners = service_listeners(service, &endpoints);
  ASSERT_EQ(listeners.size(), 1U);
  EXPECT_EQ(listeners[0].address, (SocketAddress{"127.64.0.9", 80}));
  EXPECT_EQ(listeners[0].fallback, (SocketAddress{"127.64.0.9", 5000}));
  EXPECT_THAT(listeners[0].backends,
              ElementsAre(SocketAddress{"127.32.0.1", 5000}, SocketAddress{"127.32.0.2", 5000}));
  EXPECT_TRUE(service_listeners(service, nullptr).empty());
  service.spec.cluster_ip = "None";
  EXPECT_TRUE(service_listeners(service, &endpoints).empty());
}

}  // namespace
}  // namespace nodeagent
