#include "nodeagent/probes/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace nodeagent {
namespace {

constexpr std::size_t kMaxProbeBodyBytes = 256 << 10;
constexpr std::size_t kMaxShownBody = 200;

base::Error failure(std::string message) {
  return {base::ErrorCode::Unavailable, std::move(message)};
}

/// Connects and closes at once.
base::Status connect_tcp(const base::Context& ctx, const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("'{}' is not an IPv4 address", host));
  }
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return base::system_error("opening a socket", errno);
  const std::string what = fmt::format("dial tcp {}:{}", host, port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return {};
  if (errno != EINPROGRESS) return base::system_error(what, errno);
  constexpr int kSliceMs = 20;
  while (true) {
    TRY(base::with_context(ctx.check(), what));
    pollfd waiting{fd.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, kSliceMs) <= 0) continue;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return {};
    return base::system_error(what, error);
  }
}

}  // namespace

base::Result<int> resolve_port(const api::IntOrString& port, const api::Container& container) {
  int number = port.number();
  if (!port.is_int()) {
    const auto found = std::ranges::find(container.ports, port.name(), &api::ContainerPort::name);
    if (found == container.ports.end()) {
      return base::Error(
          base::ErrorCode::Invalid,
          fmt::format("container {} has no port named '{}'", container.name, port.name()));
    }
    number = found->container_port;
  }
  if (number < 1 || number > 65535) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("{} is not a port", number));
  }
  return number;
}

base::Result<Checker> Checker::create(ContainerRuntime& runtime) {
  net::HttpClient::Options options;
  options.tls.insecure_skip_verify = true;  // As kubelet: a probe asks for life, not for identity.
  options.max_response_bytes = kMaxProbeBodyBytes;
  options.user_agent = "kaito-probe";
  auto client = TRY(net::HttpClient::create(std::move(options)));
  return Checker(runtime, std::move(client));
}

template <class Handler>
base::Status Checker::run_handler(const base::Context& ctx, const CheckTarget& target,
                                  const Handler& handler, std::chrono::milliseconds timeout) const {
  if (handler.exec) return run_exec(ctx, target, *handler.exec, timeout);
  if (handler.http_get) return run_http(ctx, target, *handler.http_get, timeout);
  if (handler.tcp_socket) {
    const int port = TRY(resolve_port(handler.tcp_socket->port, target.container));
    const std::string& host = handler.tcp_socket->host;
    return connect_tcp(ctx.with_timeout(timeout), host.empty() ? target.pod_ip : host, port);
  }
  return base::Error(base::ErrorCode::Invalid, "names no action (exec, httpGet or tcpSocket)");
}

base::Status Checker::run(const base::Context& ctx, const CheckTarget& target,
                          const api::Probe& probe, std::chrono::milliseconds timeout) const {
  return run_handler(ctx, target, probe, timeout);
}

base::Status Checker::run(const base::Context& ctx, const CheckTarget& target,
                          const api::LifecycleHandler& hook,
                          std::chrono::milliseconds timeout) const {
  return run_handler(ctx, target, hook, timeout);
}

base::Status Checker::run_exec(const base::Context& ctx, const CheckTarget& target,
                               const api::ExecAction& action,
                               std::chrono::milliseconds timeout) const {
  const ExecResult result = TRY(runtime_->exec(ctx, target.runtime_id, action.command, timeout));
  if (result.timed_out)
    return failure(fmt::format("command timed out after {}ms", timeout.count()));
  if (result.exit_code == 0) return {};
  return failure(fmt::format("command exited with {}: {}", result.exit_code, result.output));
}

base::Status Checker::run_http(const base::Context& ctx, const CheckTarget& target,
                               const api::HttpGetAction& action,
                               std::chrono::milliseconds timeout) const {
  const int port = TRY(resolve_port(action.port, target.container));
  net::HttpClientRequest request;
  request.url = fmt::format("{}://{}:{}{}{}", action.scheme == "HTTPS" ? "https" : "http",
                            action.host.empty() ? target.pod_ip : action.host, port,
                            action.path.starts_with('/') ? "" : "/", action.path);
  for (const api::HttpHeader& header : action.http_headers)
    request.headers.add(header.name, header.value);
  const base::Result<net::HttpResponse> response =
      client_->send(ctx.with_timeout(timeout), request);
  if (!response)
    return failure(fmt::format("Get \"{}\": {}", request.url, response.error().message()));
  if (response->status >= 200 && response->status < 400) return {};
  return failure(fmt::format("HTTP probe failed with statuscode: {} {}", response->status,
                             response->body.substr(0, kMaxShownBody)));
}

}  // namespace nodeagent
