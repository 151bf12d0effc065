#include "kube/runtime/controller.h"

#include <algorithm>
#include <atomic>

namespace kube {

using base::ErrorCode;

Requeue Requeue::sooner(const Requeue& a, const Requeue& b) {
  if (!a.delay) return b;
  if (!b.delay) return a;
  return {std::min(*a.delay, *b.delay)};
}

struct Controller::Stats {
  std::atomic<std::uint64_t> reconciles{0};
  std::atomic<std::uint64_t> errors{0};
};

/// Ends the workers: by `stop`, or when the context given to `start` stops.
struct Controller::Stop {
  std::stop_source source;
  std::optional<std::stop_callback<std::function<void()>>> outer;
};

Controller::Controller(Options options, Reconciler& reconciler, const base::Clock& clock)
    : options_(std::move(options)),
      reconciler_(reconciler),
      queue_(clock, options_.queue),
      stats_(std::make_unique<Stats>()),
      stop_(std::make_unique<Stop>()) {}

Controller::~Controller() { stop(); }

void Controller::start(const base::Context& ctx) {
  if (!workers_.empty()) return;
  stop_->outer.emplace(ctx.stop(), [source = stop_->source]() mutable { source.request_stop(); });
  const base::Context bounds(stop_->source.get_token(), ctx.log().named(options_.name));
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.workers, 1); ++i) {
    workers_.emplace_back([this, bounds] {
      while (const auto key = queue_.take(bounds.stop())) run_one(bounds, *key);
    });
  }
}

void Controller::stop() {
  stop_->source.request_stop();
  workers_.clear();
  stop_->outer.reset();
}

bool Controller::step(const base::Context& ctx) {
  const auto key = queue_.try_take();
  if (!key) return false;
  run_one(ctx, *key);
  return true;
}

Controller::Counters Controller::counters() const {
  return {.reconciles = stats_->reconciles.load(), .errors = stats_->errors.load()};
}

void Controller::run_one(const base::Context& ctx, const api::ObjectKey& key) {
  const auto result = reconciler_.reconcile(ctx.with_timeout(options_.reconcile_timeout), key);
  ++stats_->reconciles;
  if (result) {
    queue_.forget(key);
    if (result->delay) queue_.add_after(key, *result->delay);
  } else {
    handle_error(ctx, key, result.error());
  }
  queue_.done(key);
}

void Controller::handle_error(const base::Context& ctx, const api::ObjectKey& key,
                              const base::Error& error) {
  if (error.code() == ErrorCode::Cancelled && ctx.stopped()) return;
  ++stats_->errors;
  const bool retryable = base::is_retryable(error.code()) || error.code() == ErrorCode::Cancelled;
  if (!retryable) {
    ctx.log().error("reconcile failed", {{"key", key.text()}, {"error", error.message()}});
    queue_.add_after(key, options_.recheck_delay);
    return;
  }
  // A conflict is part of ordinary life: somebody else wrote first.
  if (error.code() == ErrorCode::Conflict) {
    ctx.log().debug("object changed meanwhile", {{"key", key.text()}, {"error", error.message()}});
  } else {
    ctx.log().warn("reconcile failed, trying again",
                   {{"key", key.text()}, {"error", error.message()}});
  }
  if (error.retry_after()) {
    queue_.add_after(key, *error.retry_after());
  } else {
    queue_.add_rate_limited(key);
  }
}

}  // namespace kube
