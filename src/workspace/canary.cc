#include "workspace/canary.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "json/value.h"
#include "net/http_client.h"

namespace workspace {
namespace {

/// The longest part of a server's answer that goes into a message.
constexpr std::size_t kMaxQuotedBytes = 200;

std::shared_ptr<net::HttpClient> make_client() {
  net::HttpClient::Options options;
  options.connect_timeout = std::chrono::seconds(5);
  options.max_response_bytes = 1 << 20;
  auto made = net::HttpClient::create(options);
  return made ? std::shared_ptr<net::HttpClient>(*std::move(made)) : nullptr;
}

base::Result<json::Value> ask_json(const base::Context& ctx, net::HttpClient& client,
                                   const net::HttpClientRequest& request) {
  const auto response = client.send(ctx, request);
  if (!response) return response.error();
  if (response->status == 429 || response->status == 503)
    return base::Error(base::ErrorCode::Throttled, "the server is busy");
  if (response->status != 200) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("the server answered {}: {}", response->status,
                                   response->body.substr(0, kMaxQuotedBytes)));
  }
  return json::parse(response->body);
}

/// The server follows the wanted list, and every adapter of it is loaded.
base::Status check_adapters(const base::Context& ctx, net::HttpClient& client,
                            const CanaryTarget& target) {
  net::HttpClientRequest request;
  request.url = fmt::format("http://{}/v1/adapters", target.address);
  const json::Value answer = TRY(ask_json(ctx, client, request));
  if (const auto error = json::find_string(answer, "error"); !error.empty())
    return base::Error(base::ErrorCode::NotFound, std::string(error));
  if (json::find_string(answer, "revision") != target.adapters_revision) {
    return base::Error(base::ErrorCode::Unavailable,
                       "the server does not follow the wanted adapters yet");
  }
  const json::Array* adapters = json::find_array(answer, "data");
  if (!adapters) return base::Error(base::ErrorCode::Invalid, "GET /v1/adapters holds no data");
  for (const json::Value& adapter : *adapters) {
    const auto state = json::find_string(adapter, "state");
    if (state == "loaded") continue;
    const auto id = json::find_string(adapter, "id");
    // What failed to come is tried again by the server; its user has to know meanwhile.
    const auto message = json::find_string(adapter, "message");
    if (!message.empty())
      return base::Error(base::ErrorCode::NotFound, fmt::format("adapter {}: {}", id, message));
    return base::Error(base::ErrorCode::Unavailable, fmt::format("adapter {} is {}", id, state));
  }
  return {};
}

std::string describe_progress(const json::Value& progress) {
  std::string text(json::find_string(progress, "phase"));
  const auto total = json::find_int(progress, "totalSteps").value_or(0);
  if (text != "training" || total == 0) return text;
  text = fmt::format("step {}/{}", json::find_int(progress, "step").value_or(0), total);
  if (const json::Value* loss = json::find(progress, "smoothedLoss"); loss && loss->is_number())
    text += fmt::format(", loss {:.3g}", loss->to_number<double>());
  if (const json::Value* left = json::find(progress, "secondsLeft"); left && left->is_number())
    text += fmt::format(", {:.0f}s left", left->to_number<double>());
  return text;
}

}  // namespace

struct CanaryProber::State {
  struct Entry {
    CanaryTarget target;
    CanaryResult result;
    int misses = 0;
    bool running = false;
    base::SteadyTime due;
  };

  State(Options chosen, const base::Clock& time, Probe ask, OnChange changed)
      : options(chosen), clock(time), probe(std::move(ask)), on_change(std::move(changed)) {}

  /// Takes an entry whose time has come, under the lock; tells when the next one is due.
  std::optional<std::pair<api::ObjectKey, CanaryTarget>> take(base::SteadyTime& soonest) {
    const auto now = clock.steady();
    for (auto& [key, entry] : entries) {
      if (entry.running) continue;
      if (entry.due <= now) {
        entry.running = true;
        return std::pair(key, entry.target);
      }
      soonest = std::min(soonest, entry.due);
    }
    return std::nullopt;
  }

  /// Takes an entry whose time has come; waits for one otherwise.
  std::optional<std::pair<api::ObjectKey, CanaryTarget>> next(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      auto soonest = base::SteadyTime::max();
      if (auto job = take(soonest)) return job;
      const std::uint64_t seen = changes;
      const auto limit = soonest == base::SteadyTime::max()
                             ? std::chrono::nanoseconds(std::chrono::hours(1))
                             : std::chrono::nanoseconds(soonest - clock.steady());
      wake.wait_for(lock, stop, limit, [&] { return changes != seen; });
    }
    return std::nullopt;
  }

  /// Records an answer; true when what others see changed.
  bool record(const api::ObjectKey& key, const CanaryTarget& target,
              const base::Result<std::string>& answer) {
    const std::lock_guard lock(mutex);
    const auto found = entries.find(key);
    if (found == entries.end()) return false;
    Entry& entry = found->second;
    entry.running = false;
    if (!(entry.target == target)) return false;  // The world moved on while we asked.
    const CanaryState before = entry.result.state;
    const std::string message_before = entry.result.message;
    const bool busy = !answer && answer.error().code() == base::ErrorCode::Throttled &&
                      before == CanaryState::Passed;
    if (answer || busy) {
      entry.misses = 0;
      entry.result = {.state = CanaryState::Passed, .message = answer ? *answer : message_before};
    } else if (++entry.misses >= options.failures_allowed || before != CanaryState::Passed) {
      entry.result = {CanaryState::Failed, answer.error().message(), answer.error().code()};
    }
    const bool good = answer.has_value() || busy;
    const int exponent = std::min(entry.misses, 6);
    entry.due = clock.steady() +
                (good ? options.interval : options.retry * (1 << std::max(0, exponent - 1)));
    return entry.result.state != before || entry.result.message != message_before;
  }

  void run(const base::Context& ctx) {
    while (auto job = next(ctx.stop())) ask(ctx, job->first, job->second);
  }

  void ask(const base::Context& ctx, const api::ObjectKey& key, const CanaryTarget& target) {
    const base::Result<std::string> answer = probe(ctx, target);
    if (!ctx.stopped() && record(key, target, answer)) on_change(key);
  }

  const Options options;
  const base::Clock& clock;
  const Probe probe;
  const OnChange on_change;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::uint64_t changes = 0;
  std::map<api::ObjectKey, Entry> entries;
  std::vector<std::jthread> threads;
};

CanaryProber::CanaryProber(Options options, const base::Clock& clock, Probe probe,
                           OnChange on_change)
    : state_(std::make_unique<State>(options, clock, std::move(probe), std::move(on_change))) {}

CanaryProber::~CanaryProber() { stop(); }

void CanaryProber::start(const base::Context& ctx) {
  for (std::size_t i = 0; i < state_->options.threads; ++i) {
    state_->threads.emplace_back(
        [this, ctx](const std::stop_token& stop) { state_->run(ctx.with_stop(stop)); });
  }
}

void CanaryProber::stop() {
  for (std::jthread& thread : state_->threads) thread.request_stop();
  state_->threads.clear();
}

bool CanaryProber::step(const base::Context& ctx) {
  auto soonest = base::SteadyTime::max();
  std::unique_lock lock(state_->mutex);
  const auto job = state_->take(soonest);
  lock.unlock();
  if (job) state_->ask(ctx, job->first, job->second);
  return job.has_value();
}

CanaryResult CanaryProber::result(const api::ObjectKey& workspace, const CanaryTarget& target) {
  const std::lock_guard lock(state_->mutex);
  State::Entry& entry = state_->entries[workspace];
  if (!(entry.target == target)) {
    const bool running = entry.running;
    entry = State::Entry{.target = target,
                         .result = {},
                         .misses = 0,
                         .running = running,
                         .due = state_->clock.steady()};
    ++state_->changes;
    state_->wake.notify_one();
  }
  return entry.result;
}

void CanaryProber::forget(const api::ObjectKey& workspace) {
  const std::lock_guard lock(state_->mutex);
  state_->entries.erase(workspace);
}

CanaryProber::Probe token_probe(std::chrono::milliseconds timeout) {
  // One client for all probes; built here so that a failure to build it is every probe's error.
  auto client = make_client();
  return [client, timeout](const base::Context& ctx,
                           const CanaryTarget& target) -> base::Result<std::string> {
    if (!client) return base::Error(base::ErrorCode::Internal, "no HTTP client");
    const base::Context limited = ctx.with_timeout(timeout);
    if (!target.adapters_revision.empty()) TRY(check_adapters(limited, *client, target));
    if (!target.ready) return std::string();
    net::HttpClientRequest request;
    request.method = "POST";
    request.url = fmt::format("http://{}/v1/completions", target.address);
    request.headers.set("Content-Type", "application/json");
    request.body = R"({"prompt":"Hello","max_tokens":1,"temperature":0})";
    const json::Value answer = TRY(ask_json(limited, *client, request));
    if (json::find_int(answer, "usage.completion_tokens").value_or(0) < 1)
      return base::Error(base::ErrorCode::Invalid, "the server's answer holds no token");
    return std::string();
  };
}

CanaryProber::Probe progress_probe() {
  auto client = make_client();
  return
      [client](const base::Context& ctx, const CanaryTarget& target) -> base::Result<std::string> {
        if (!client) return base::Error(base::ErrorCode::Internal, "no HTTP client");
        net::HttpClientRequest request;
        request.url = fmt::format("http://{}/progress", target.address);
        return describe_progress(
            TRY(ask_json(ctx.with_timeout(std::chrono::seconds(5)), *client, request)));
      };
}

}  // namespace workspace
