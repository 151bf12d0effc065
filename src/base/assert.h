#pragma once

namespace base {
/// Prints where and what, then aborts. For bugs of the program, never for input.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}  // namespace base

/// States what only a bug could break; stays on in every build.
#define ASSERT(expression) \
  ((expression) ? void(0) : ::base::assertion_failed(#expression, __FILE__, __LINE__))
