#pragma once

#include <chrono>
#include <stop_token>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"

namespace base {

/// What bounds a piece of work: a stop token, a deadline and a logger. Passed first to everything
/// that may block; cheap to copy; safe to use from several threads.
class Context {
 public:
  explicit Context(std::stop_token stop = {}, Logger log = {})
      : stop_(std::move(stop)), log_(std::move(log)) {}

  const std::stop_token& stop() const { return stop_; }
  SteadyTime deadline() const { return deadline_; }
  const Logger& log() const { return log_; }

  /// The same work, to end no later than `timeout` from now.
  Context with_timeout(std::chrono::nanoseconds timeout) const;
  Context with_deadline(SteadyTime deadline) const;
  Context with_log(Logger log) const;
  /// The same bounds with another token; the old one no longer applies.
  Context with_stop(std::stop_token stop) const;

  bool stopped() const { return stop_.stop_requested(); }
  bool done() const { return stopped() || std::chrono::steady_clock::now() >= deadline_; }
  /// Time left until the deadline, not below zero; `max()` of nanoseconds when there is none.
  std::chrono::nanoseconds remaining() const;
  /// Errors: Cancelled when stopped, Timeout when past the deadline.
  Status check() const;
  /// Sleeps for `duration`; wakes early, with the error of `check`, on stop or deadline.
  Status sleep(std::chrono::nanoseconds duration) const;

 private:
  std::stop_token stop_;
  SteadyTime deadline_ = SteadyTime::max();
  Logger log_;
};

}  // namespace base
