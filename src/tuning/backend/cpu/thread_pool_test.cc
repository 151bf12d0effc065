#include "tuning/backend/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace tuning {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const std::size_t threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::size_t count : {0u, 1u, 2u, 7u, 100u}) {
      for (int round = 0; round < 20; ++round) {
        std::vector<std::atomic<int>> calls(count);
        pool.run(count, [&](std::size_t index, std::size_t worker) {
          EXPECT_LT(worker, threads);
          ++calls[index];
        });
        for (const auto& call : calls) EXPECT_EQ(call.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, SharesScratchOfWorkersBetweenNoTwoTasks) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<int> clashes = 0;
  pool.run(2000, [&](std::size_t, std::size_t worker) {
    if (++inside[worker] != 1) ++clashes;
    --inside[worker];
  });
  EXPECT_EQ(clashes.load(), 0);
}

TEST(ThreadPool, KeepsToItsLimit) {
  ThreadPool pool(4);
  for (const std::size_t limit : {1u, 2u, 4u}) {
    pool.set_limit(limit);
    std::atomic<int> beyond = 0, calls = 0;
    pool.run(500, [&](std::size_t, std::size_t worker) {
      ++calls;
      if (worker >= limit) ++beyond;
    });
    EXPECT_EQ(calls.load(), 500);
    EXPECT_EQ(beyond.load(), 0);
  }
}

TEST(ThreadPool, KnowsAtLeastOneProcessor) {
  EXPECT_GE(ThreadPool::usable_processors(), 1u);
  EXPECT_EQ(ThreadPool(0).threads(), ThreadPool::usable_processors());
}

}  // namespace
}  // namespace tuning
