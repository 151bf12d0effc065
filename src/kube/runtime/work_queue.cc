#include "kube/runtime/work_queue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/assert.h"
#include "kube/runtime/backoff.h"

namespace kube {
namespace {

using base::SteadyTime;

/// What is known of a key; an entry without anything to say is erased.
struct Entry {
  bool waiting = false;
  bool running = false;
  bool again = false;  ///< Added while it ran.
  unsigned failures = 0;
  std::optional<SteadyTime> due;

  bool idle() const { return !waiting && !running && failures == 0 && !due; }
};

}  // namespace

struct WorkQueue::State {
  State(const base::Clock& time, Options queue_options) : clock(time), options(queue_options) {}

  const base::Clock& clock;
  const Options options;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::map<api::ObjectKey, Entry> entries;
  std::deque<std::map<api::ObjectKey, Entry>::iterator> ready;  ///< Map iterators stay valid.
  std::set<std::pair<SteadyTime, api::ObjectKey>> delayed;

  // All of these are called with the mutex held.

  /// True when a taker should wake.
  bool add(std::map<api::ObjectKey, Entry>::iterator at) {
    Entry& entry = at->second;
    if (entry.running) {
      entry.again = true;
      return false;
    }
    if (entry.waiting) return false;
    entry.waiting = true;
    ready.push_back(at);
    return true;
  }

  void cancel_delay(std::map<api::ObjectKey, Entry>::iterator at) {
    if (!at->second.due) return;
    delayed.erase({*at->second.due, at->first});
    at->second.due.reset();
  }

  void add_at(const api::ObjectKey& key, SteadyTime due) {
    const auto at = entries.try_emplace(key).first;
    if (at->second.waiting || (at->second.due && *at->second.due <= due)) return;
    cancel_delay(at);
    at->second.due = due;
    delayed.emplace(due, key);
  }

  void promote_due() {
    const SteadyTime now = clock.steady();
    while (!delayed.empty() && delayed.begin()->first <= now) {
      const auto at = entries.find(delayed.begin()->second);
      ASSERT(at != entries.end());
      delayed.erase(delayed.begin());
      at->second.due.reset();
      add(at);
    }
  }

  std::optional<api::ObjectKey> take() {
    if (ready.empty()) return std::nullopt;
    const auto at = ready.front();
    ready.pop_front();
    at->second.waiting = false;
    at->second.running = true;
    // Whoever runs the key now decides anew when it is wanted again.
    cancel_delay(at);
    return at->first;
  }
};

WorkQueue::WorkQueue(const base::Clock& clock, Options options)
    : state_(std::make_unique<State>(clock, options)) {}

WorkQueue::~WorkQueue() = default;

void WorkQueue::add(const api::ObjectKey& key) {
  bool wake = false;
  {
    std::lock_guard lock(state_->mutex);
    wake = state_->add(state_->entries.try_emplace(key).first);
  }
  if (wake) state_->changed.notify_one();
}

void WorkQueue::add_after(const api::ObjectKey& key, std::chrono::nanoseconds delay) {
  if (delay.count() <= 0) return add(key);
  {
    std::lock_guard lock(state_->mutex);
    state_->add_at(key, state_->clock.steady() + delay);
  }
  state_->changed.notify_one();
}

void WorkQueue::add_rate_limited(const api::ObjectKey& key) {
  {
    std::lock_guard lock(state_->mutex);
    Entry& entry = state_->entries.try_emplace(key).first->second;
    const auto delay =
        backoff_delay(state_->options.base_delay, state_->options.max_delay, entry.failures);
    ++entry.failures;
    state_->add_at(key, state_->clock.steady() + delay);
  }
  state_->changed.notify_one();
}

void WorkQueue::forget(const api::ObjectKey& key) {
  std::lock_guard lock(state_->mutex);
  const auto at = state_->entries.find(key);
  if (at == state_->entries.end()) return;
  at->second.failures = 0;
  if (at->second.idle()) state_->entries.erase(at);
}

std::optional<api::ObjectKey> WorkQueue::take(const std::stop_token& stop) {
  std::unique_lock lock(state_->mutex);
  while (!stop.stop_requested()) {
    state_->promote_due();
    if (auto key = state_->take()) {
      // A due key may have made more than one ready.
      if (!state_->ready.empty()) state_->changed.notify_one();
      return key;
    }
    if (state_->delayed.empty()) {
      state_->changed.wait(lock, stop,
                           [&] { return !state_->ready.empty() || !state_->delayed.empty(); });
      continue;
    }
    const SteadyTime due = state_->delayed.begin()->first;
    const auto left = due - state_->clock.steady();
    state_->changed.wait_for(lock, stop, left, [&] {
      return !state_->ready.empty() || state_->delayed.empty() ||
             state_->delayed.begin()->first < due;
    });
  }
  return std::nullopt;
}

std::optional<api::ObjectKey> WorkQueue::try_take() {
  std::lock_guard lock(state_->mutex);
  state_->promote_due();
  return state_->take();
}

void WorkQueue::done(const api::ObjectKey& key) {
  bool wake = false;
  {
    std::lock_guard lock(state_->mutex);
    const auto at = state_->entries.find(key);
    ASSERT(at != state_->entries.end() && at->second.running);
    at->second.running = false;
    if (std::exchange(at->second.again, false)) {
      wake = state_->add(at);
    } else if (at->second.idle()) {
      state_->entries.erase(at);
    }
  }
  if (wake) state_->changed.notify_one();
}

std::size_t WorkQueue::size() const {
  std::lock_guard lock(state_->mutex);
  return state_->ready.size();
}

std::optional<SteadyTime> WorkQueue::next_due() const {
  std::lock_guard lock(state_->mutex);
  if (state_->delayed.empty()) return std::nullopt;
  return state_->delayed.begin()->first;
}

}  // namespace kube
