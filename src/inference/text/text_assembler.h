#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace inference {

/// Makes showable text of an answer's bytes as they come: holds back characters that are not whole
/// yet and text that may turn out to begin a stop string, ends at the first stop string, and
/// replaces bytes that are no UTF-8 with U+FFFD.
class TextAssembler {
 public:
  explicit TextAssembler(std::vector<std::string> stop_strings);

  /// What can be shown after `bytes`; may be empty.
  std::string push(std::string_view bytes);
  /// What was held back, when nothing more comes.
  std::string finish();
  /// True once a stop string was met; it is not part of the text.
  bool stopped() const { return stopped_; }

 private:
  std::string release(std::size_t bytes);

  std::vector<std::string> stop_strings_;
  std::string held_;
  bool stopped_ = false;
};

/// `bytes` with everything that is not UTF-8 replaced by U+FFFD.
std::string to_utf8(std::string_view bytes);

}  // namespace inference
