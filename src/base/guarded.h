#pragma once

#include <mutex>
#include <utility>

namespace base {

/// A value that can only be reached while its mutex is held. No I/O, logging or callbacks inside.
template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  template <class Use>
  auto with(Use&& use) {
    std::lock_guard lock(mutex_);
    return std::forward<Use>(use)(value_);
  }
  template <class Use>
  auto with(Use&& use) const {
    std::lock_guard lock(mutex_);
    return std::forward<Use>(use)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

}  // namespace base
