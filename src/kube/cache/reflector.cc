#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <optional>
#include <utility>

#include "base/guarded.h"
#include "base/random.h"
#include "kube/cache/informer.h"
#include "kube/limits.h"
#include "kube/runtime/backoff.h"

namespace kube {

using base::ErrorCode;
using base::Status;
using std::chrono::steady_clock;

struct Reflector::State {
  State(Client& api_client, api::ResourceType resource_type, Options reflector_options)
      : client(api_client), type(resource_type), options(std::move(reflector_options)) {}

  Client& client;
  const api::ResourceType type;
  const Options options;
  base::Logger log;

  // What waiters look at.
  mutable std::mutex mutex;
  mutable std::condition_variable_any changed;
  bool synced = false;
  std::string last_failure;  ///< Of the list; "" when it went well.

  std::stop_source stop;
  /// Forwards the stop of the context given to `start`.
  std::optional<std::stop_callback<std::function<void()>>> outer_stop;
  std::jthread thread;
};

/// The thread of one reflector.
class Reflector::Loop {
 public:
  Loop(Reflector& owner, State& state, base::Context ctx)
      : owner_(owner), state_(state), ctx_(std::move(ctx)) {}

  void run() {
    while (!ctx_.stopped()) {
      const Status listed = list();
      note(listed);
      if (!listed) {
        if (!pause("list failed", listed.error())) return;
        continue;
      }
      watch_until_lost();
    }
  }

 private:
  /// Lists everything, page by page, and remembers the version to watch from.
  Status list() {
    for (int restarts = 0;; ++restarts) {
      const std::size_t page = restarts < kMaxListRestarts ? state_.options.page_size : 0;
      const Status status = list_once(page);
      // A continue token that expired between pages: everything again, in the end in one page.
      const bool expired = !status && status.error().code() == ErrorCode::Gone;
      if (!expired || restarts == kMaxListRestarts) return status;
    }
  }

  Status list_once(std::size_t page_size) {
    ListOptions options;
    options.ns = state_.options.ns;
    options.label_selector = state_.options.label_selector;
    options.field_selector = state_.options.field_selector;
    options.limit = page_size;
    owner_.on_replace_begin();
    do {
      const ListResult page = TRY(
          state_.client.list_each(ctx_, state_.type, options, [this](json::Value item) -> Status {
            owner_.on_replace_item(std::move(item));
            return {};
          }));
      version_ = page.resource_version;
      options.continue_token = page.continue_token;
    } while (!options.continue_token.empty());
    owner_.on_replace_end();
    return {};
  }

  /// Watches from version_ again and again until only a new list helps, or the end.
  void watch_until_lost() {
    while (!ctx_.stopped()) {
      const auto started = steady_clock::now();
      events_ = 0;
      const Status status = watch_once();
      if (events_ > 0 || steady_clock::now() - started > kReflectorBackoffMax) backoff_.reset();
      const ErrorCode code = status ? ErrorCode::Unavailable : status.error().code();
      if (code == ErrorCode::Cancelled) return;
      if (code == ErrorCode::Gone) {
        state_.log.debug("watch is too old, listing again", {{"resource", state_.type.plural}});
        // A server that answers every watch with Gone must not be listed in a tight loop.
        if (events_ == 0) (void)ctx_.sleep(backoff_.next());
        return;
      }
      const bool can_resume = status || base::is_retryable(code);
      // The ordinary end of a watch that lived for a while goes on at once.
      const bool short_lived = events_ == 0 && steady_clock::now() - started < seconds(1);
      if (!status) {
        if (!pause("watch failed", status.error())) return;
      } else if (short_lived && !ctx_.sleep(backoff_.next())) {
        return;
      }
      if (!can_resume) return;
    }
  }

  Status watch_once() {
    WatchOptions options;
    options.ns = state_.options.ns;
    options.label_selector = state_.options.label_selector;
    options.field_selector = state_.options.field_selector;
    options.resource_version = version_;
    const auto full = static_cast<std::uint64_t>(state_.options.watch_timeout.count());
    options.timeout = seconds(full - base::random_below(full / 4 + 1));
    options.margin = state_.options.watch_margin;
    return state_.client.watch(ctx_, state_.type, options, [this](WatchEvent event) -> Status {
      const auto version = json::find_string(event.object, "metadata.resourceVersion");
      if (!version.empty()) version_ = version;
      ++events_;
      if (event.type != WatchEventType::Bookmark) owner_.on_event(std::move(event));
      return {};
    });
  }

  void note(const Status& listed) {
    {
      std::lock_guard lock(state_.mutex);
      state_.synced = state_.synced || listed.has_value();
      state_.last_failure = listed ? std::string() : listed.error().message();
    }
    state_.changed.notify_all();
  }

  /// Logs a failure and waits; false when stopped.
  bool pause(std::string_view what, const base::Error& error) {
    if (ctx_.stopped()) return false;
    const auto asked = error.retry_after().value_or(milliseconds(0));
    const auto wait = std::min(std::max(backoff_.next(), asked), kReflectorBackoffMax);
    state_.log.warn(what, {{"resource", state_.type.plural},
                           {"error", error.message()},
                           {"retryAfterMs", wait.count()}});
    return ctx_.sleep(wait).has_value();
  }

  Reflector& owner_;
  State& state_;
  base::Context ctx_;
  std::string version_;
  std::uint64_t events_ = 0;  ///< Of the current watch, with bookmarks.
  Backoff backoff_{kReflectorBackoffMin, kReflectorBackoffMax};
};

Reflector::Reflector(Client& client, api::ResourceType type, Options options)
    : state_(std::make_unique<State>(client, type, std::move(options))) {}

Reflector::~Reflector() { stop(); }

void Reflector::start(const base::Context& ctx) {
  State& state = *state_;
  if (state.thread.joinable()) return;
  state.log = ctx.log();
  state.outer_stop.emplace(ctx.stop(), [source = state.stop]() mutable { source.request_stop(); });
  const base::Context bounds(state.stop.get_token(), ctx.log());
  state.thread = std::jthread([this, bounds] { Loop(*this, *state_, bounds).run(); });
}

void Reflector::stop() {
  state_->stop.request_stop();
  if (state_->thread.joinable()) state_->thread.join();
  state_->outer_stop.reset();
}

bool Reflector::synced() const {
  std::lock_guard lock(state_->mutex);
  return state_->synced;
}

Status Reflector::wait_synced(const base::Context& ctx) const {
  std::unique_lock lock(state_->mutex);
  const auto done = [&] { return state_->synced; };
  if (ctx.deadline() == base::SteadyTime::max()) {
    state_->changed.wait(lock, ctx.stop(), done);
  } else {
    state_->changed.wait_until(lock, ctx.stop(), ctx.deadline(), done);
  }
  if (state_->synced) return {};
  std::string what = fmt::format("waiting for the list of {}", state_->type.plural);
  if (!state_->last_failure.empty()) what += fmt::format(" ({})", state_->last_failure);
  return base::with_context(ctx.check(), what);
}

const api::ResourceType& Reflector::type() const { return state_->type; }

void Reflector::report_unreadable(const json::Value& object, const base::Error& error) const {
  state_->log.error("object does not fit its type and is left out",
                    {{"resource", state_->type.plural},
                     {"namespace", json::find_string(object, "metadata.namespace")},
                     {"name", json::find_string(object, "metadata.name")},
                     {"error", error.message()}});
}

}  // namespace kube
