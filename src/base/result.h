#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace base {

/// A value or the reason why there is none. `std::expected` plus `[[nodiscard]]` and implicit
/// construction from `Error`, so that `return Error(...)` works. The monadic members are absent in
/// g++ 12; use TRY.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(Error error) : std::expected<T, Error>(std::unexpected(std::move(error))) {}
};

using Status = Result<void>;

/// Prepends `what` to the error of `result`, if it has one.
template <class T>
Result<T> with_context(Result<T> result, std::string_view what) {
  if (!result) return std::move(result).error().context(what);
  return result;
}

}  // namespace base

/// The value of a Result, or return of its error to the caller. One per full expression.
#define TRY(...)                                                                          \
  (__extension__({                                                                        \
    auto&& try_result_ = (__VA_ARGS__);                                                   \
    if (!try_result_.has_value()) return std::unexpected(std::move(try_result_).error()); \
    *std::move(try_result_);                                                              \
  }))
