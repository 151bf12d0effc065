#include "apps/kaito/chat_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "api/core/service.h"
#include "base/guarded.h"
#include "base/signals.h"
#include "kube/rest/client.h"
#include "net/http_client.h"

namespace kaito {
namespace {

using base::Error;
using base::ErrorCode;

struct ChatOptions {
  std::string workspace;
  std::string prompt;
  std::string ns = "default";
  std::string kubeconfig;
  std::string system;
  int max_tokens = 512;
  int timeout_seconds = 300;
};

/// Splits a stream of server-sent events into their data lines.
class EventLines {
 public:
  explicit EventLines(std::function<base::Status(std::string_view)> on_data) : on_data_(std::move(on_data)) {}
  base::Status feed(std::string_view bytes) {
    buffer_ += bytes;
    for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.starts_with("data: ")) TRY(on_data_(std::string_view(line).substr(6)));
    }
    return {};
  }

 private:
  std::function<base::Status(std::string_view)> on_data_;
  std::string buffer_;
};

class Chat {
 public:
  static base::Result<Chat> connect(const ChatOptions& options, const DataDir& dir) {
    std::string path = options.kubeconfig;
    if (path.empty()) {
      const char* from_environment = std::getenv("KUBECONFIG");
      path = from_environment && *from_environment ? from_environment : dir.kubeconfig().string();
    }
    const kube::RestConfig config = TRY(kube::RestConfig::from_kubeconfig_file(path));
    auto client = TRY(kube::Client::create(config));
    const base::Context ctx = base::Context().with_timeout(std::chrono::seconds(10));
    const auto service = TRY(base::with_context(kube::get<api::Service>(ctx, *client, {options.ns, options.workspace}),
                                                fmt::format("looking for the Service of workspace {}/{}", options.ns,
                                                            options.workspace)));
    Chat chat;
    net::HttpClient::Options http;
    http.connect_timeout = std::chrono::seconds(5);
    chat.http_ = TRY(net::HttpClient::create(http));
    // Port 80 needs rights that an ordinary user's node agent lacks; the container port is the other door.
    for (const std::string& address : {service.spec.cluster_ip, service.spec.cluster_ip + ":5000"}) {
      net::HttpClientRequest request;
      request.url = fmt::format("http://{}/health", address);
      if (const auto health = chat.http_->send(ctx, request); health && health->status == 200) {
        chat.base_url_ = "http://" + address;
        break;
      }
    }
    if (chat.base_url_.empty()) {
      return Error(ErrorCode::Unavailable,
                   fmt::format("no pod of workspace {} answers yet; see: kubectl describe workspace {}", options.workspace,
                               options.workspace));
    }
    if (!options.system.empty()) chat.add("system", options.system);
    chat.options_ = options;
    return chat;
  }

  /// Sends the conversation with `prompt` added and prints the answer as it comes.
  base::Status ask(const base::Context& ctx, const std::string& prompt) {
    add("user", prompt);
    net::HttpClientRequest request;
    request.method = "POST";
    request.url = base_url_ + "/v1/chat/completions";
    request.headers.set("Content-Type", "application/json");
    request.body = json::dump(json::Object{{"messages", messages_}, {"stream", true}, {"max_tokens", options_.max_tokens}});
    std::string answer;
    std::string refusal;
    int status = 0;
    EventLines lines([&](std::string_view data) -> base::Status {
      if (data == "[DONE]") return {};
      const json::Value chunk = TRY(json::parse(data));
      const json::Array* choices = json::find_array(chunk, "choices");
      if (!choices || choices->empty()) return {};
      const std::string_view text = json::find_string((*choices)[0], "delta.content");
      fmt::print("{}", text);
      std::fflush(stdout);
      answer += text;
      return {};
    });
    net::HttpResponseSink sink;
    sink.on_head = [&](const net::HttpResponse& head) -> base::Status {
      status = head.status;
      return {};
    };
    sink.on_body = [&](std::string_view bytes) -> base::Status {
      if (status == 200) return lines.feed(bytes);
      if (refusal.size() < 4096) refusal += bytes;
      return {};
    };
    const auto ended = http_->stream(ctx, request, sink);
    fmt::print("\n");
    if (ended && status == 200) {
      add("assistant", answer);
      return {};
    }
    messages_.pop_back();
    if (!ended) return ended.error();
    const auto document = json::parse(refusal);
    const std::string_view message = document ? json::find_string(*document, "error.message") : std::string_view();
    return Error(ErrorCode::Invalid, fmt::format("the server answered {}: {}", status, message.empty() ? refusal : message));
  }

 private:
  void add(std::string_view role, std::string_view content) {
    messages_.push_back(json::Object{{"role", json::String(role)}, {"content", json::String(content)}});
  }

  ChatOptions options_;
  std::unique_ptr<net::HttpClient> http_;
  std::string base_url_;
  json::Array messages_;
};

int chat(const ChatOptions& options, const DataDir& dir) {
  auto session = Chat::connect(options, dir);
  if (!session) return fail(session.error());
  // Ctrl-C ends the answer being written, and the program when nothing is.
  base::Guarded<std::optional<std::stop_source>> answering;
  const base::SignalWatcher signals([&](int) {
    const bool stopped = answering.with([](auto& stop) { return stop && stop->request_stop(); });
    if (!stopped) ::_exit(130);
  });
  const auto timeout = std::chrono::seconds(options.timeout_seconds);
  const auto ask = [&](const std::string& prompt) {
    std::stop_source stop;
    answering.with([&](auto& current) { current = stop; });
    const auto asked = session->ask(base::Context(stop.get_token()).with_timeout(timeout), prompt);
    answering.with([](auto& current) { current.reset(); });
    return asked;
  };
  if (!options.prompt.empty()) {
    const auto asked = ask(options.prompt);
    return asked ? 0 : fail(asked.error());
  }
  const bool terminal = ::isatty(0) == 1;
  if (terminal) fmt::print("Talking to {}. Ctrl-D ends, Ctrl-C stops an answer.\n", options.workspace);
  int code = 0;
  for (std::string line;;) {
    if (terminal) fmt::print("> ");
    std::fflush(stdout);
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    if (const auto asked = ask(line); !asked && asked.error().code() != ErrorCode::Cancelled) code = fail(asked.error());
  }
  if (terminal) fmt::print("\n");
  return code;
}

}  // namespace

void add_chat_command(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("chat", "Talk to the model of a Workspace");
  auto options = std::make_shared<ChatOptions>();
  command->add_option("workspace", options->workspace, "Name of the Workspace")->required();
  command->add_option("prompt", options->prompt, "Ask this and end; without it, every line of input is a turn");
  command->add_option("-n,--namespace", options->ns, "Namespace of the Workspace")->capture_default_str();
  command->add_option("--system", options->system, "System message");
  command->add_option("--max-tokens", options->max_tokens, "Longest answer")->capture_default_str();
  command->add_option("--timeout", options->timeout_seconds, "Seconds for one answer")->capture_default_str();
  command->add_option("--kubeconfig", options->kubeconfig, "Cluster to use (default: $KUBECONFIG, then the local one)");
  add_data_dir_option(*command, session);
  command->callback([&session, options] { session.run = [&session, options] { return chat(*options, session.dir()); }; });
}

}  // namespace kaito
