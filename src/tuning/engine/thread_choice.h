#pragma once

#include <cstddef>
#include <vector>

namespace tuning {

/// Chooses how many threads compute a step, by measured speed. A step is some thousand short pieces
/// of work, each done when all threads are: beside neighbours that take a thread off its core, or
/// under a quota, fewer threads that never wait for each other can be faster than all. Pure: knows
/// nothing of clocks and threads.
///
/// Candidates are the most threads there are and its halves down to one. Now and then a step is
/// spent on a neighbour of the best so far; attempts that fail become rarer.
class ThreadChoice {
 public:
  explicit ThreadChoice(std::size_t most);

  /// For the next step.
  std::size_t next() const { return counts_[trying_]; }
  /// What the step with next() threads took.
  void record(double seconds_per_token);

 private:
  std::vector<std::size_t> counts_;  ///< Descending.
  std::vector<double> seconds_;      ///< Per token; 0: not measured.
  std::size_t best_ = 0;
  std::size_t trying_ = 0;
  std::size_t steps_until_try_;
  std::size_t pause_;
  bool try_fewer_ = true;
};

}  // namespace tuning
