#include "model/gguf/gguf.h"

#include <map>

#include "model/gguf/gguf_file.h"

namespace model {
namespace {

std::string_view most_used_type(const GgufHeader& header) {
  std::map<std::string_view, std::uint64_t> elements_by_type;
  std::string_view type;
  std::uint64_t most = 0;
  for (const GgufTensor& tensor : header.tensors) {
    const std::uint64_t elements = elements_by_type[tensor.type->name] += tensor.elements;
    if (elements > most) {
      most = elements;
      type = tensor.type->name;
    }
  }
  return type;
}

}  // namespace

base::Result<GgufInfo> parse_gguf(std::string_view bytes, std::uint64_t file_bytes) {
  const GgufHeader header = TRY(parse_gguf_header(bytes, file_bytes));
  GgufInfo info;
  info.version = header.version;
  info.tensor_count = header.tensors.size();
  info.metadata_count = header.metadata.size();
  info.architecture = header.text("general.architecture");
  info.name = header.text("general.name");
  info.context_tokens = header.number(info.architecture + ".context_length").value_or(0);
  info.has_chat_template = !header.text("tokenizer.chat_template").empty();
  info.quantization = most_used_type(header);
  for (const GgufTensor& tensor : header.tensors) info.parameters += tensor.elements;
  info.data_end = header.data_end;
  return info;
}

base::Result<GgufInfo> read_gguf_info(const std::filesystem::path& path) {
  const MappedFile file = TRY(MappedFile::open(path));
  return base::with_context(parse_gguf(file.text(), file.bytes().size()), path.string());
}

}  // namespace model
