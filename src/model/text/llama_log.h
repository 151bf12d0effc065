#pragma once

#include <string>

#include "base/log.h"

namespace model {

/// Sends what llama.cpp reports to `log` (its warnings and errors; the rest at debug level) and
/// keeps the last error line, which is often the only reason a failed load leaves behind.
/// llama.cpp has one log sink for the whole process: the last capture made is the one in force.
class LlamaLogCapture {
 public:
  explicit LlamaLogCapture(base::Logger log);
  ~LlamaLogCapture();
  LlamaLogCapture(const LlamaLogCapture&) = delete;
  LlamaLogCapture& operator=(const LlamaLogCapture&) = delete;

  /// The last error line without its prefix, "" when there was none.
  std::string last_error() const;
  struct State;

 private:
  State* state_;
};

}  // namespace model
