#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>

#include "api/meta.h"
#include "base/clock.h"

namespace kube {

/// Keys to reconcile. A key is never handed out twice at once; adding one that waits changes
/// nothing, adding one that runs makes it run again afterwards. Failures back off per key,
/// doubling from `base_delay` to `max_delay`, with jitter.
class WorkQueue {
 public:
  struct Options {
    std::chrono::milliseconds base_delay{5};
    std::chrono::milliseconds max_delay{60'000};
  };
  WorkQueue(const base::Clock& clock, Options options);
  ~WorkQueue();

  void add(const api::ObjectKey& key);
  /// The earliest of several delays wins. Taking the key cancels its delay: whoever runs it decides
  /// anew when it is wanted again.
  void add_after(const api::ObjectKey& key, std::chrono::nanoseconds delay);
  /// Adds after the key's back-off, and makes the next one longer.
  void add_rate_limited(const api::ObjectKey& key);
  /// The key did well: its next back-off starts small again.
  void forget(const api::ObjectKey& key);

  /// Waits for a key; nothing when stopped. Every key taken must be given back with `done`.
  std::optional<api::ObjectKey> take(const std::stop_token& stop);
  /// As `take`, without waiting.
  std::optional<api::ObjectKey> try_take();
  void done(const api::ObjectKey& key);

  /// Keys waiting now, without delayed ones.
  std::size_t size() const;
  /// When the next delayed key is due; nothing when there is none.
  std::optional<base::SteadyTime> next_due() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kube
