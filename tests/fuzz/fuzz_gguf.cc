#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/gguf/gguf.h"
#include "model/gguf/gguf_file.h"

// Any bytes either give a header that fits the file, or an error with a text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto info = model::parse_gguf(bytes, size);
  if (info ? info->data_end > size || info->architecture.empty() : info.error().message().empty()) {
    std::abort();
  }
  const auto header = model::parse_gguf_header(bytes, size);
  if (header.has_value() != info.has_value()) std::abort();
  if (!header) return 0;
  for (const model::GgufTensor& tensor : header->tensors)
    if (tensor.begin + tensor.bytes > size || header->find_tensor(tensor.name) != &tensor)
      std::abort();
  for (const auto& [key, value] : header->metadata) {
    (void)header->text(key);
    (void)header->number(key);
    (void)header->real(key);
    (void)header->boolean(key);
    if (header->texts(key).size() > value.count || header->integers(key).size() > value.count ||
        header->reals(key).size() > value.count)
      std::abort();
  }
  return 0;
}
