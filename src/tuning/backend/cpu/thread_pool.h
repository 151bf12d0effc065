#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace tuning {

/// Threads that share out numbered tasks. Whoever runs takes the next task, so a thread that the
/// kernel has taken off its core costs no more than the task it holds; threads without work spin
/// for some microseconds, then sleep. One caller at a time, which works too.
class ThreadPool {
 public:
  /// `threads` counts the caller's; 0 means as many as this process may use.
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }
  /// Lets at most `threads` work from the next run on; the others sleep.
  void set_limit(std::size_t threads) { limit_.store(threads == 0 ? 1 : threads); }

  /// Calls `task(index, worker)` once for each index below `count`, `worker` in [0, threads())
  /// being the same for no two calls at a time. Returns when all are done. Tasks must not throw.
  template <class Task>
  void run(std::size_t count, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    run_all(count, const_cast<void*>(static_cast<const void*>(std::addressof(task))),
            [](void* what, std::size_t index, std::size_t worker) {
              (*static_cast<Plain*>(what))(index, worker);
            });
  }

  /// Processors that the scheduler may put this process on.
  static std::size_t usable_processors();

 private:
  using Call = void (*)(void*, std::size_t, std::size_t);

  void run_all(std::size_t count, void* task, Call call);
  void take_tasks(std::size_t worker);
  void work(std::stop_token stop, std::size_t worker);
  bool enter();
  void leave();

  // What is being run; written while the gate is closed and nobody is inside.
  void* task_ = nullptr;
  Call call_ = nullptr;
  std::size_t count_ = 0;
  alignas(64) std::atomic<std::size_t> next_{0};
  /// The threads inside, and kOpen while more may come in.
  alignas(64) std::atomic<std::uint32_t> gate_{0};
  std::atomic<std::size_t> limit_;
  /// Counts the runs; sleepers wait for it to change.
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::vector<std::jthread> workers_;
};

}  // namespace tuning
