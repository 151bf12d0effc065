#pragma once

#include <span>

#include "inference/engine/types.h"

namespace inference {

struct Candidate {
  TokenId token = 0;
  float logit = 0;
};

/// Limits which tokens may come next. One thread at a time.
class Constraint {
 public:
  virtual ~Constraint() = default;
  /// Sets the logit of every candidate that may not come next to minus infinity.
  virtual void filter(std::span<Candidate> candidates) = 0;
  /// `token` was chosen; it passed `filter`.
  virtual void accept(TokenId token) = 0;
};

}  // namespace inference
