#pragma once

#include <cstddef>

#include "base/result.h"

namespace tuning {

/// Notices a run that learns nothing any more: its loss stays above that of guessing blindly and
/// well above where it began. One bad step is nothing; a row of them after the warm-up is. A value;
/// one thread.
class DivergenceGuard {
 public:
  static constexpr std::size_t kPatience = 20;

  DivergenceGuard(std::size_t vocabulary_size, std::size_t warmup_steps);
  /// `first_loss`: of the run's first step. Errors: Internal, with the advice, once it is hopeless.
  base::Status take(std::size_t step, double loss, double first_loss);

 private:
  double guessing_;  ///< Loss of guessing.
  std::size_t warmup_steps_;
  std::size_t bad_steps_ = 0;
};

}  // namespace tuning
