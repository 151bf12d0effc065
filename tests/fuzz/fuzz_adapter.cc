// Adapters from strangers: the first byte chooses between a safetensors file and an
// adapter_config.json.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "json/value.h"
#include "model/peft/peft_adapter.h"
#include "model/safetensors/safetensors.h"
#include "model/tensor_names.h"

namespace {

/// A header that is taken describes bytes of the file, each at most once.
void check_header(std::string_view file) {
  const auto header = model::parse_safetensors_header(file, file.size());
  if (!header) {
    if (header.error().message().empty()) std::abort();
    return;
  }
  std::uint64_t end = 0;
  for (const auto& entry : header->entries) {
    if (entry.begin < end) std::abort();
    end = entry.begin + entry.tensor.bytes();
    if (end > file.size()) std::abort();
    const auto name = model::gguf_tensor_name(entry.tensor.name);
    if (name && model::hugging_face_tensor_name(*name, true) != entry.tensor.name &&
        model::hugging_face_tensor_name(*name, false) != entry.tensor.name)
      std::abort();
  }
}

void check_config(std::string_view text) {
  const auto document = json::parse(text);
  if (!document) return;
  const auto config = model::parse_peft_config(*document);
  if (config ? !(config->alpha > 0) : config.error().message().empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'c') {
    check_config(text);
  } else {
    check_header(text);
  }
  return 0;
}
