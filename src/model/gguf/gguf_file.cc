#include "model/gguf/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace model {
namespace {

using base::Error;
using base::ErrorCode;

constexpr std::uint64_t kMaxTensors = 100'000;
constexpr std::uint64_t kMaxMetadata = 100'000;
constexpr std::uint64_t kMaxKeyBytes = 64 << 10;
constexpr std::uint64_t kMaxTextBytes = 16 << 20;
constexpr std::uint64_t kMaxArrayElements = 50'000'000;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1 << 20;
constexpr std::string_view kMagic = "GGUF";

constexpr GgufType kTypes[] = {
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

/// Bytes of one value of each type; 0 where that varies.
constexpr std::array<std::uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

std::uint64_t value_bytes(GgufValueType type) {
  return kValueBytes[static_cast<std::size_t>(type)];
}

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
  std::string_view since(std::uint64_t offset) const { return bytes_.substr(offset, at_ - offset); }

 private:
  std::string_view bytes_;
  std::uint64_t file_bytes_;
  std::uint64_t at_ = 0;
};

template <class T>
T number_at(std::string_view raw, std::uint64_t index) {
  T value{};
  std::memcpy(&value, raw.data() + index * sizeof value, sizeof value);
  return value;
}

/// Element `index` of a number or a list of numbers.
template <class Out>
std::optional<Out> element(const GgufValue& value, std::uint64_t index) {
  const auto as = [&]<class T>(T) { return static_cast<Out>(number_at<T>(value.raw, index)); };
  switch (value.type) {
    case GgufValueType::Uint8:
      return as(std::uint8_t{});
    case GgufValueType::Int8:
      return as(std::int8_t{});
    case GgufValueType::Uint16:
      return as(std::uint16_t{});
    case GgufValueType::Int16:
      return as(std::int16_t{});
    case GgufValueType::Uint32:
      return as(std::uint32_t{});
    case GgufValueType::Int32:
      return as(std::int32_t{});
    case GgufValueType::Uint64:
      return as(std::uint64_t{});
    case GgufValueType::Int64:
      return as(std::int64_t{});
    case GgufValueType::Float32:
      return as(float{});
    case GgufValueType::Float64:
      return as(double{});
    default:
      return std::nullopt;
  }
}

bool is_real(GgufValueType type) {
  return type == GgufValueType::Float32 || type == GgufValueType::Float64;
}

base::Result<GgufValue> read_array(Reader& reader) {
  GgufValue value{.type = {}, .is_array = true, .count = 0, .raw = {}};
  const auto type = TRY(reader.number<std::uint32_t>());
  value.count = TRY(reader.number<std::uint64_t>());
  if (value.count > kMaxArrayElements)
    return Error(ErrorCode::Invalid, fmt::format("a list of {} elements at offset {} is too long",
                                                 value.count, reader.offset()));
  value.type = static_cast<GgufValueType>(type);
  if (type >= kValueBytes.size() || value.type == GgufValueType::Array)
    return Error(ErrorCode::Invalid,
                 fmt::format("unknown list type {} at offset {}", type, reader.offset()));
  if (value.type != GgufValueType::Text) {
    value.raw = TRY(reader.take(value.count * value_bytes(value.type)));
    return value;
  }
  const std::uint64_t begin = reader.offset();
  for (std::uint64_t i = 0; i < value.count; ++i) TRY(reader.string(kMaxKeyBytes));
  value.raw = reader.since(begin);
  return value;
}

base::Result<GgufValue> read_value(Reader& reader) {
  const auto type = TRY(reader.number<std::uint32_t>());
  GgufValue value;
  value.type = static_cast<GgufValueType>(type);
  if (type >= kValueBytes.size())
    return Error(ErrorCode::Invalid,
                 fmt::format("unknown value type {} at offset {}", type, reader.offset()));
  if (value.type == GgufValueType::Array) return read_array(reader);
  if (value.type == GgufValueType::Text) {
    value.raw = TRY(reader.string(kMaxTextBytes));
  } else {
    value.raw = TRY(reader.take(value_bytes(value.type)));
  }
  return value;
}

base::Status read_metadata(Reader& reader, std::uint64_t count, GgufHeader& header) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = TRY(reader.string(kMaxKeyBytes));
    const GgufValue value = TRY(read_value(reader));
    if (!header.metadata.emplace(key, value).second) {
      return Error(ErrorCode::Invalid, fmt::format("altered: the key {} appears twice", key));
    }
  }
  return {};
}

base::Status read_shape(Reader& reader, GgufTensor& tensor) {
  constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 50;
  const auto dimensions = TRY(reader.number<std::uint32_t>());
  if (dimensions == 0 || dimensions > kMaxDimensions) {
    return Error(ErrorCode::Invalid,
                 fmt::format("tensor {} has {} dimensions", tensor.name, dimensions));
  }
  tensor.elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto extent = TRY(reader.number<std::uint64_t>());
    if (extent == 0 || __builtin_mul_overflow(tensor.elements, extent, &tensor.elements) ||
        tensor.elements > kMaxElements) {
      return Error(ErrorCode::Invalid,
                   fmt::format("tensor {} has an impossible shape", tensor.name));
    }
    tensor.shape.push_back(extent);
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  return {};
}

/// `begin` comes out relative to the data.
base::Result<GgufTensor> read_tensor(Reader& reader, std::uint64_t alignment) {
  GgufTensor tensor;
  tensor.name = TRY(reader.string(kMaxKeyBytes));
  TRY(read_shape(reader, tensor));
  const auto type_id = TRY(reader.number<std::uint32_t>());
  tensor.begin = TRY(reader.number<std::uint64_t>());
  if (tensor.begin % alignment != 0) {
    return Error(ErrorCode::Invalid, fmt::format("tensor {} does not start at a multiple of {}",
                                                 tensor.name, alignment));
  }
  tensor.type = find_gguf_type(type_id);
  if (!tensor.type)
    return Error(ErrorCode::Invalid,
                 fmt::format("tensor {} has the unknown type {}", tensor.name, type_id));
  if (tensor.shape.back() % tensor.type->block_elements != 0)
    return Error(ErrorCode::Invalid,
                 fmt::format("tensor {} does not fill its last block", tensor.name));
  tensor.bytes = tensor.elements / tensor.type->block_elements * tensor.type->block_bytes;
  std::uint64_t end = 0;
  if (__builtin_add_overflow(tensor.begin, tensor.bytes, &end))
    return Error(ErrorCode::Invalid, fmt::format("tensor {} lies beyond any file", tensor.name));
  return tensor;
}

base::Status read_tensors(Reader& reader, std::uint64_t count, GgufHeader& header) {
  const std::uint64_t alignment = header.metadata.contains("general.alignment")
                                      ? header.number("general.alignment").value_or(0)
                                      : kDefaultAlignment;
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    return Error(ErrorCode::Invalid, "altered: the alignment is impossible");
  }
  std::uint64_t end = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    header.tensors.push_back(TRY(read_tensor(reader, alignment)));
    const GgufTensor& tensor = header.tensors.back();
    if (!header.places.emplace(tensor.name, i).second)
      return Error(ErrorCode::Invalid,
                   fmt::format("altered: the tensor {} appears twice", tensor.name));
    end = std::max(end, tensor.begin + tensor.bytes);
  }
  const std::uint64_t data_begin = (reader.offset() + alignment - 1) / alignment * alignment;
  if (__builtin_add_overflow(data_begin, end, &header.data_end)) {
    return Error(ErrorCode::Invalid, "altered: the tensors lie beyond any file");
  }
  for (GgufTensor& tensor : header.tensors) tensor.begin += data_begin;
  return {};
}

}  // namespace

const GgufType* find_gguf_type(std::uint32_t id) {
  for (const GgufType& type : kTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const GgufType* find_gguf_type(std::string_view name) {
  for (const GgufType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

base::Result<GgufHeader> parse_gguf_header(std::string_view bytes, std::uint64_t file_bytes) {
  if (!bytes.starts_with(kMagic)) {
    return Error(ErrorCode::Invalid, "not a GGUF file: it does not begin with 'GGUF'");
  }
  Reader reader(bytes, file_bytes);
  TRY(reader.take(kMagic.size()));
  GgufHeader header;
  header.version = TRY(reader.number<std::uint32_t>());
  if (header.version < 2 || header.version > 3) {
    return Error(ErrorCode::Invalid,
                 fmt::format("GGUF version {} is not supported (2 and 3 are)", header.version));
  }
  const auto tensor_count = TRY(reader.number<std::uint64_t>());
  const auto metadata_count = TRY(reader.number<std::uint64_t>());
  if (tensor_count > kMaxTensors || metadata_count > kMaxMetadata) {
    return Error(ErrorCode::Invalid, "altered: the header counts are impossible");
  }
  TRY(read_metadata(reader, metadata_count, header));
  if (header.text("general.architecture").empty()) {
    return Error(ErrorCode::Invalid, "altered: general.architecture is missing");
  }
  TRY(read_tensors(reader, tensor_count, header));
  if (file_bytes < header.data_end) {
    return Error(ErrorCode::Invalid, fmt::format("truncated: {} bytes expected, {} found",
                                                 header.data_end, file_bytes));
  }
  return header;
}

std::string_view GgufHeader::text(std::string_view key) const {
  const auto found = metadata.find(key);
  const bool fits = found != metadata.end() && !found->second.is_array &&
                    found->second.type == GgufValueType::Text;
  return fits ? found->second.raw : std::string_view();
}

std::optional<std::uint64_t> GgufHeader::number(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end() || found->second.is_array || is_real(found->second.type))
    return std::nullopt;
  return element<std::uint64_t>(found->second, 0);
}

std::optional<double> GgufHeader::real(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end() || found->second.is_array) return std::nullopt;
  return element<double>(found->second, 0);
}

std::optional<bool> GgufHeader::boolean(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end() || found->second.is_array ||
      found->second.type != GgufValueType::Bool)
    return std::nullopt;
  return found->second.raw.front() != '\0';
}

std::vector<std::string_view> GgufHeader::texts(std::string_view key) const {
  std::vector<std::string_view> out;
  const auto found = metadata.find(key);
  if (found == metadata.end() || !found->second.is_array ||
      found->second.type != GgufValueType::Text)
    return out;
  out.reserve(found->second.count);
  std::string_view rest = found->second.raw;
  for (std::uint64_t i = 0; i < found->second.count; ++i) {
    const auto length = number_at<std::uint64_t>(rest, 0);
    out.push_back(rest.substr(sizeof length, length));
    rest.remove_prefix(sizeof length + length);
  }
  return out;
}

std::vector<std::int64_t> GgufHeader::integers(std::string_view key) const {
  std::vector<std::int64_t> out;
  const auto found = metadata.find(key);
  if (found == metadata.end() || !found->second.is_array || is_real(found->second.type)) return out;
  for (std::uint64_t i = 0; i < found->second.count; ++i)
    if (const auto one = element<std::int64_t>(found->second, i)) out.push_back(*one);
  return out;
}

std::vector<float> GgufHeader::reals(std::string_view key) const {
  std::vector<float> out;
  const auto found = metadata.find(key);
  if (found == metadata.end() || !found->second.is_array || !is_real(found->second.type))
    return out;
  for (std::uint64_t i = 0; i < found->second.count; ++i)
    if (const auto one = element<float>(found->second, i)) out.push_back(*one);
  return out;
}

const GgufTensor* GgufHeader::find_tensor(std::string_view name) const {
  const auto found = places.find(name);
  return found == places.end() ? nullptr : &tensors[found->second];
}

base::Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  MappedFile file = TRY(MappedFile::open(path));
  auto header = parse_gguf_header(file.text(), file.bytes().size());
  if (!header) return std::move(header).error().context(path.string());
  return GgufFile(std::move(file), *std::move(header));
}

}  // namespace model
