#include "tuning/backend/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tuning {
namespace {

constexpr std::uint32_t kOpen = 1u << 31;
/// About 20 microseconds: less than a sleep and a wake-up cost, longer than most gaps between runs.
constexpr int kSpins = 600;
constexpr std::size_t kMaxThreads = 256;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

std::size_t ThreadPool::usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
}

ThreadPool::ThreadPool(std::size_t threads) {
  if (threads == 0) threads = usable_processors();
  threads = std::min(threads, kMaxThreads);
  limit_.store(threads);
  for (std::size_t worker = 1; worker < threads; ++worker) {
    workers_.emplace_back([this, worker](std::stop_token stop) { work(stop, worker); });
    pthread_setname_np(workers_.back().native_handle(), "tuning");
  }
}

ThreadPool::~ThreadPool() {
  for (auto& worker : workers_) worker.request_stop();
  round_.fetch_add(1);
  round_.notify_all();
}

void ThreadPool::run_all(std::size_t count, void* task, Call call) {
  if (count == 0) return;
  if (count == 1 || workers_.empty() || limit_.load() == 1) {
    for (std::size_t index = 0; index < count; ++index) call(task, index, 0);
    return;
  }
  task_ = task;
  call_ = call;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  gate_.store(kOpen);
  round_.fetch_add(1);
  round_.notify_all();
  take_tasks(0);
  // Late comers find the gate closed: only those that hold a task are waited for.
  std::uint32_t inside = gate_.fetch_and(~kOpen) & ~kOpen;
  for (int spin = 0; inside != 0 && spin < kSpins; ++spin) {
    relax();
    inside = gate_.load();
  }
  while (inside != 0) {
    gate_.wait(inside);
    inside = gate_.load();
  }
}

void ThreadPool::take_tasks(std::size_t worker) {
  for (;;) {
    const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    call_(task_, index, worker);
  }
}

bool ThreadPool::enter() {
  std::uint32_t state = gate_.load();
  while ((state & kOpen) != 0) {
    if (gate_.compare_exchange_weak(state, state + 1)) return true;
  }
  return false;
}

void ThreadPool::leave() {
  if (gate_.fetch_sub(1) == 1) gate_.notify_one();
}

void ThreadPool::work(std::stop_token stop, std::size_t worker) {
  std::uint32_t seen = 0;
  while (!stop.stop_requested()) {
    std::uint32_t round = round_.load();
    for (int spin = 0; round == seen && spin < kSpins; ++spin) {
      relax();
      round = round_.load();
    }
    if (round == seen) {
      round_.wait(seen);
      continue;
    }
    seen = round;
    if (worker >= limit_.load() || !enter()) continue;
    take_tasks(worker);
    leave();
  }
}

}  // namespace tuning
