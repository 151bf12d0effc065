#pragma once

#include <array>
#include <chrono>

#include "base/clock.h"

namespace inference {

/// Chooses how many threads compute a batch by measured speed. Beside other programs two threads
/// can be slower than one, because each waits at hundreds of barriers for a partner that has lost
/// its core; alone they are faster. Every so often one more or one fewer is tried for a few
/// batches, and kept when it is clearly faster; tries that fail become rare, and frequent again
/// when the speed drops. Batches are compared with batches of about their size. Pure: time comes
/// from the caller.
class ThreadTuner {
 public:
  explicit ThreadTuner(int max_threads);

  /// For the next batch of `batch_tokens`.
  int threads(int batch_tokens) const;
  /// A batch took `took` with the number of threads that `threads` gave.
  void record(int batch_tokens, std::chrono::nanoseconds took, base::SteadyTime now);

 private:
  struct Setting {
    int threads = 1;
    double seconds_per_token = 0;  ///< Smoothed; 0: not measured.
    double best_seconds = 0;       ///< Of this number of threads since it was chosen.
    int candidate = 0;             ///< Being tried; 0: none.
    int tries_left = 0;
    double candidate_seconds = 0;
    bool upwards = false;  ///< Direction of the next try.
    base::SteadyTime next_try{};
    std::chrono::nanoseconds interval{};
  };
  static constexpr int kSizes = 16;

  static std::size_t size_class(int batch_tokens);
  void begin_try(Setting& setting) const;
  void end_try(Setting& setting, base::SteadyTime now);

  int max_threads_;
  std::array<Setting, kSizes> settings_;
};

}  // namespace inference
