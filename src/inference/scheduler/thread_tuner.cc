#include "inference/scheduler/thread_tuner.h"

#include <algorithm>
#include <bit>

namespace inference {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstInterval{150};
constexpr milliseconds kLastInterval{10'000};
constexpr int kIntervalFactor = 3;
/// Batches of one try; the first only wakes the threads up and is not counted.
constexpr int kTries = 4;
/// A candidate must be so much faster, and a speed must drop so much to cause a try.
constexpr double kClearlyFaster = 0.93;
constexpr double kClearlySlower = 1.35;
constexpr double kSmoothing = 0.2;

}  // namespace

ThreadTuner::ThreadTuner(int max_threads) : max_threads_(std::max(max_threads, 1)) {
  for (Setting& setting : settings_) {
    setting.threads = max_threads_;
    setting.interval = kFirstInterval;
  }
}

std::size_t ThreadTuner::size_class(int batch_tokens) {
  const int width = std::bit_width(static_cast<unsigned>(std::max(batch_tokens, 1)));
  return static_cast<std::size_t>(std::min(width, kSizes) - 1);
}

int ThreadTuner::threads(int batch_tokens) const {
  const Setting& setting = settings_[size_class(batch_tokens)];
  return setting.candidate > 0 ? setting.candidate : setting.threads;
}

void ThreadTuner::record(int batch_tokens, std::chrono::nanoseconds took, base::SteadyTime now) {
  if (max_threads_ == 1) return;
  Setting& setting = settings_[size_class(batch_tokens)];
  const double seconds = std::chrono::duration<double>(took).count() / std::max(batch_tokens, 1);
  if (setting.candidate > 0) {
    if (setting.tries_left < kTries) setting.candidate_seconds += seconds;
    if (setting.tries_left-- == 1) end_try(setting, now);
    return;
  }
  if (setting.seconds_per_token == 0) {
    setting.seconds_per_token = setting.best_seconds = seconds;
    setting.next_try = now + setting.interval;
    return;
  }
  setting.seconds_per_token += kSmoothing * (seconds - setting.seconds_per_token);
  setting.best_seconds = std::min(setting.best_seconds, setting.seconds_per_token);
  if (setting.seconds_per_token > kClearlySlower * setting.best_seconds) {
    // Something changed on the machine: look around now, and forget the better days.
    setting.best_seconds = setting.seconds_per_token;
    setting.interval = kFirstInterval;
    setting.next_try = now;
  }
  if (now >= setting.next_try) begin_try(setting);
}

void ThreadTuner::begin_try(Setting& setting) const {
  if (setting.threads == max_threads_) setting.upwards = false;
  if (setting.threads == 1) setting.upwards = true;
  // Big machines move in bigger steps.
  const int step = std::max(1, setting.threads / 4);
  setting.candidate =
      std::clamp(setting.threads + (setting.upwards ? step : -step), 1, max_threads_);
  setting.tries_left = kTries;
  setting.candidate_seconds = 0;
}

void ThreadTuner::end_try(Setting& setting, base::SteadyTime now) {
  const double candidate = setting.candidate_seconds / (kTries - 1);
  if (candidate < kClearlyFaster * setting.seconds_per_token) {
    setting.threads = setting.candidate;
    setting.seconds_per_token = setting.best_seconds = candidate;
    setting.interval = kFirstInterval;
  } else {
    setting.upwards = !setting.upwards;
    setting.interval =
        std::min<std::chrono::nanoseconds>(setting.interval * kIntervalFactor, kLastInterval);
  }
  setting.candidate = 0;
  setting.next_try = now + setting.interval;
}

}  // namespace inference
