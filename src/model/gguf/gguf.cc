#include "model/gguf/gguf.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "base/file.h"

namespace model {
namespace {

using base::Error;
using base::ErrorCode;

constexpr std::uint64_t kMaxTensors = 100'000;
constexpr std::uint64_t kMaxMetadata = 100'000;
constexpr std::uint64_t kMaxKeyBytes = 64 << 10;
constexpr std::uint64_t kMaxArrayElements = 50'000'000;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::uint64_t kDefaultAlignment = 32;

/// Elements and bytes of one block of a tensor type. Source: ggml.h, type_traits.
struct TensorType {
  std::uint32_t id;
  std::string_view name;
  std::uint64_t block_elements;
  std::uint64_t block_bytes;
};
constexpr TensorType kTensorTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
};

const TensorType* find_type(std::uint32_t id) {
  for (const TensorType& type : kTensorTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

enum ValueType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};
constexpr std::array<std::uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/// Reads little-endian values in order; never past the end.
class Reader {
 public:
  Reader(std::string_view bytes, std::uint64_t file_bytes)
      : bytes_(bytes), file_bytes_(file_bytes) {}

  template <class T>
  base::Result<T> number() {
    static_assert(std::endian::native == std::endian::little);
    const std::string_view raw = TRY(take(sizeof(T)));
    T value{};
    std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }
  base::Result<std::string_view> string(std::uint64_t limit) {
    const auto length = TRY(number<std::uint64_t>());
    if (length > limit)
      return Error(ErrorCode::Invalid,
                   fmt::format("a text of {} bytes at offset {} is too long", length, at_));
    return take(length);
  }
  base::Result<std::string_view> take(std::uint64_t count) {
    if (count > bytes_.size() - at_) {
      return Error(ErrorCode::Invalid,
                   fmt::format("truncated: the header goes on after byte {}, where the file ends",
                               file_bytes_));
    }
    const std::string_view raw = bytes_.substr(at_, count);
    at_ += count;
    return raw;
  }
  std::uint64_t offset() const { return at_; }

 private:
  std::string_view bytes_;
  std::uint64_t file_bytes_;
  std::uint64_t at_ = 0;
};

/// A metadata value, as far as anybody asks: its text, or its whole number.
struct MetadataValue {
  std::string_view text;
  std::uint64_t number = 0;
};

base::Result<std::uint64_t> read_integer(Reader& reader, std::uint32_t type) {
  const std::string_view raw = TRY(reader.take(kValueBytes[type]));
  std::uint64_t value = 0;
  std::memcpy(&value, raw.data(), raw.size());
  return value;
}

base::Status skip_array(Reader& reader) {
  const auto type = TRY(reader.number<std::uint32_t>());
  const auto count = TRY(reader.number<std::uint64_t>());
  if (count > kMaxArrayElements)
    return Error(ErrorCode::Invalid, fmt::format("a list of {} elements at offset {} is too long",
                                                 count, reader.offset()));
  if (type >= kValueBytes.size() || type == kArray)
    return Error(ErrorCode::Invalid,
                 fmt::format("unknown list type {} at offset {}", type, reader.offset()));
  if (type != kString) {
    TRY(reader.take(count * kValueBytes[type]));
    return {};
  }
  for (std::uint64_t i = 0; i < count; ++i) TRY(reader.string(kMaxKeyBytes));
  return {};
}

base::Result<MetadataValue> read_value(Reader& reader) {
  constexpr std::uint64_t kMaxTextBytes = 16 << 20;
  const auto type = TRY(reader.number<std::uint32_t>());
  if (type == kString) return MetadataValue{TRY(reader.string(kMaxTextBytes)), 0};
  if (type == kArray) {
    TRY(skip_array(reader));
    return MetadataValue{};
  }
  if (type >= kValueBytes.size())
    return Error(ErrorCode::Invalid,
                 fmt::format("unknown value type {} at offset {}", type, reader.offset()));
  return MetadataValue{{}, TRY(read_integer(reader, type))};
}

struct TensorSummary {
  std::uint64_t end = 0;  ///< Of the last tensor, from the start of the data.
  std::uint64_t parameters = 0;
  std::map<std::string_view, std::uint64_t> elements_by_type;
};

base::Result<std::uint64_t> read_elements(Reader& reader, std::string_view name) {
  constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 50;
  const auto dimensions = TRY(reader.number<std::uint32_t>());
  if (dimensions == 0 || dimensions > kMaxDimensions) {
    return Error(ErrorCode::Invalid, fmt::format("tensor {} has {} dimensions", name, dimensions));
  }
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto extent = TRY(reader.number<std::uint64_t>());
    if (extent == 0 || __builtin_mul_overflow(elements, extent, &elements) ||
        elements > kMaxElements) {
      return Error(ErrorCode::Invalid, fmt::format("tensor {} has an impossible shape", name));
    }
  }
  return elements;
}

base::Status read_tensor(Reader& reader, std::uint64_t alignment, TensorSummary& summary) {
  const std::string_view name = TRY(reader.string(kMaxKeyBytes));
  const std::uint64_t elements = TRY(read_elements(reader, name));
  const auto type_id = TRY(reader.number<std::uint32_t>());
  const auto offset = TRY(reader.number<std::uint64_t>());
  if (offset % alignment != 0) {
    return Error(ErrorCode::Invalid,
                 fmt::format("tensor {} does not start at a multiple of {}", name, alignment));
  }
  const TensorType* type = find_type(type_id);
  if (!type)
    return Error(ErrorCode::Invalid,
                 fmt::format("tensor {} has the unknown type {}", name, type_id));
  if (elements % type->block_elements != 0)
    return Error(ErrorCode::Invalid, fmt::format("tensor {} does not fill its last block", name));
  const std::uint64_t bytes = elements / type->block_elements * type->block_bytes;
  std::uint64_t end = 0;
  if (__builtin_add_overflow(offset, bytes, &end))
    return Error(ErrorCode::Invalid, fmt::format("tensor {} lies beyond any file", name));
  summary.end = std::max(summary.end, end);
  summary.parameters += elements;
  summary.elements_by_type[type->name] += elements;
  return {};
}

using Metadata = std::map<std::string_view, MetadataValue>;

base::Result<Metadata> read_metadata(Reader& reader, std::uint64_t count) {
  Metadata metadata;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = TRY(reader.string(kMaxKeyBytes));
    const MetadataValue value = TRY(read_value(reader));
    if (!metadata.emplace(key, value).second) {
      return Error(ErrorCode::Invalid, fmt::format("altered: the key {} appears twice", key));
    }
  }
  return metadata;
}

/// The value of `key`; empty and 0 when it is missing.
MetadataValue find(const Metadata& metadata, std::string_view key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? MetadataValue{} : found->second;
}

std::string_view most_used_type(const TensorSummary& tensors) {
  std::string_view type;
  std::uint64_t most = 0;
  for (const auto& [name, elements] : tensors.elements_by_type) {
    if (elements > most) {
      most = elements;
      type = name;
    }
  }
  return type;
}

}  // namespace

base::Result<GgufInfo> parse_gguf(std::string_view bytes, std::uint64_t file_bytes) {
  constexpr std::string_view kMagic = "GGUF";
  constexpr std::uint64_t kMaxAlignment = 1 << 20;
  if (!bytes.starts_with(kMagic)) {
    return Error(ErrorCode::Invalid, "not a GGUF file: it does not begin with 'GGUF'");
  }
  Reader reader(bytes, file_bytes);
  TRY(reader.take(kMagic.size()));
  GgufInfo info;
  info.version = TRY(reader.number<std::uint32_t>());
  if (info.version < 2 || info.version > 3) {
    return Error(ErrorCode::Invalid,
                 fmt::format("GGUF version {} is not supported (2 and 3 are)", info.version));
  }
  info.tensor_count = TRY(reader.number<std::uint64_t>());
  info.metadata_count = TRY(reader.number<std::uint64_t>());
  if (info.tensor_count > kMaxTensors || info.metadata_count > kMaxMetadata) {
    return Error(ErrorCode::Invalid, "altered: the header counts are impossible");
  }
  const Metadata metadata = TRY(read_metadata(reader, info.metadata_count));
  info.architecture = find(metadata, "general.architecture").text;
  if (info.architecture.empty()) {
    return Error(ErrorCode::Invalid, "altered: general.architecture is missing");
  }
  info.name = find(metadata, "general.name").text;
  info.context_tokens = find(metadata, info.architecture + ".context_length").number;
  info.has_chat_template = !find(metadata, "tokenizer.chat_template").text.empty();
  const std::uint64_t alignment = metadata.contains("general.alignment")
                                      ? find(metadata, "general.alignment").number
                                      : kDefaultAlignment;
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    return Error(ErrorCode::Invalid, "altered: the alignment is impossible");
  }
  TensorSummary tensors;
  for (std::uint64_t i = 0; i < info.tensor_count; ++i) {
    TRY(read_tensor(reader, alignment, tensors));
  }
  info.parameters = tensors.parameters;
  info.quantization = most_used_type(tensors);
  const std::uint64_t data_start = (reader.offset() + alignment - 1) / alignment * alignment;
  if (__builtin_add_overflow(data_start, tensors.end, &info.data_end)) {
    return Error(ErrorCode::Invalid, "altered: the tensors lie beyond any file");
  }
  if (file_bytes < info.data_end) {
    return Error(ErrorCode::Invalid,
                 fmt::format("truncated: {} bytes expected, {} found", info.data_end, file_bytes));
  }
  return info;
}

base::Result<GgufInfo> read_gguf_info(const std::filesystem::path& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return base::system_error(fmt::format("opening {}", path.string()), errno);
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0)
    return base::system_error(fmt::format("reading {}", path.string()), errno);
  if (!S_ISREG(facts.st_mode))
    return Error(ErrorCode::Invalid, fmt::format("{} is not a file", path.string()));
  const auto size = static_cast<std::size_t>(facts.st_size);
  if (size == 0) return Error(ErrorCode::Invalid, fmt::format("{} is empty", path.string()));
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED)
    return base::system_error(fmt::format("mapping {}", path.string()), errno);
  auto info = parse_gguf({static_cast<const char*>(mapped), size}, size);
  ::munmap(mapped, size);
  return base::with_context(std::move(info), path.string());
}

}  // namespace model
