#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/meta.h"
#include "base/context.h"
#include "kube/cache/informer.h"
#include "kube/runtime/work_queue.h"

namespace kube {

/// What a reconcile asks for next.
struct Requeue {
  std::optional<std::chrono::nanoseconds> delay;
  static Requeue none() { return {}; }
  static Requeue after(std::chrono::nanoseconds delay) { return {delay}; }
  /// The sooner of two.
  static Requeue sooner(const Requeue& a, const Requeue& b);
};

/// Brings the world closer to what the object of `key` asks for. Level-triggered: reads the
/// observed state, plans, acts, writes status once; running it twice changes nothing the second
/// time. A retryable error backs off (a Retry-After is honoured); any other waits for the next
/// change of the world, or for `Controller::Options::recheck_delay`.
class Reconciler {
 public:
  virtual ~Reconciler() = default;
  virtual base::Result<Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) = 0;
};

/// Feeds one reconciler from one queue with a few workers.
class Controller {
 public:
  struct Options {
    std::string name;
    std::size_t workers = 2;
    std::chrono::milliseconds reconcile_timeout{60'000};
    /// After an error that waiting is not expected to cure, such as a missing right.
    std::chrono::milliseconds recheck_delay{300'000};
    WorkQueue::Options queue;
  };
  struct Counters {
    std::uint64_t reconciles = 0;
    std::uint64_t errors = 0;
  };
  Controller(Options options, Reconciler& reconciler, const base::Clock& clock);
  /// Stops and joins the workers.
  ~Controller();

  void enqueue(const api::ObjectKey& key) { queue_.add(key); }
  /// Enqueues the object itself on every change.
  template <api::Resource T>
  void watch(Informer<T>& informer) {
    informer.add_handler([this](const Change<T>& change) { enqueue(change.any().metadata.key()); });
  }
  /// Enqueues the controlling owner of `kind` on every change.
  template <api::Resource T>
  void watch_owned(Informer<T>& informer, std::string kind) {
    informer.add_handler([this, kind](const Change<T>& change) {
      for (const auto* object : {change.before.get(), change.after.get()}) {
        if (!object) continue;
        for (const api::OwnerReference& owner : object->metadata.owner_references) {
          if (owner.kind == kind && owner.controller.value_or(false))
            enqueue({object->metadata.ns, owner.name});
        }
      }
    });
  }
  /// Enqueues whatever keys `map` gives for each of the two sides of a change.
  template <api::Resource T>
  void watch_mapped(Informer<T>& informer,
                    std::function<std::vector<api::ObjectKey>(const T&)> map) {
    informer.add_handler([this, map](const Change<T>& change) {
      for (const auto* object : {change.before.get(), change.after.get()}) {
        if (!object) continue;
        for (const api::ObjectKey& key : map(*object)) enqueue(key);
      }
    });
  }

  /// Starts the workers; the informers must be synced.
  void start(const base::Context& ctx);
  void stop();
  /// Takes and reconciles one waiting key on this thread; false when none waits. For tests.
  bool step(const base::Context& ctx);
  Counters counters() const;

 private:
  void run_one(const base::Context& ctx, const api::ObjectKey& key);
  void handle_error(const base::Context& ctx, const api::ObjectKey& key, const base::Error& error);

  Options options_;
  Reconciler& reconciler_;
  WorkQueue queue_;
  struct Stats;
  std::unique_ptr<Stats> stats_;
  struct Stop;
  std::unique_ptr<Stop> stop_;
  std::vector<std::jthread> workers_;
};

/// Starts informers, waits until all are synced, starts controllers; stops in reverse. What was
/// added must live until `stop`, which also forgets it: a manager runs once.
class Manager {
 public:
  explicit Manager(base::Logger log) : log_(std::move(log)) {}
  ~Manager();
  void add(Reflector& informer) { informers_.push_back(&informer); }
  void add(Controller& controller) { controllers_.push_back(&controller); }
  /// Returns once everything runs. Errors: Timeout when an informer does not sync within `limit`.
  base::Status start(const base::Context& ctx,
                     std::chrono::milliseconds limit = std::chrono::seconds(60));
  void stop();

 private:
  base::Logger log_;
  std::vector<Reflector*> informers_;
  std::vector<Controller*> controllers_;
};

}  // namespace kube
