#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/gguf/gguf.h"

// Any bytes either give a header that fits the file, or an error with a text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto info = model::parse_gguf(bytes, size);
  if (info ? info->data_end > size || info->architecture.empty() : info.error().message().empty()) {
    std::abort();
  }
  return 0;
}
