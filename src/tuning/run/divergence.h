#pragma once

#include <cstddef>

#include "base/result.h"

namespace tuning {

/// Notices a run that learns nothing any more: its loss stays above that of guessing blindly. One
/// bad step is nothing; a row of them after the warm-up is. A value; one thread.
class DivergenceGuard {
 public:
  static constexpr std::size_t kPatience = 20;

  DivergenceGuard(std::size_t vocabulary_size, std::size_t warmup_steps);
  /// Errors: Internal, with the advice, once it is hopeless.
  base::Status take(std::size_t step, double loss);

 private:
  double limit_;
  std::size_t warmup_steps_;
  std::size_t bad_steps_ = 0;
};

}  // namespace tuning
