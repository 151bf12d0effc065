#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "json/value.h"
#include "model/safetensors/safetensors.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxDimensions = 16;
/// An entry is an object that holds arrays.
constexpr std::size_t kMaxDepth = 4;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// A whole number from 0.
std::optional<std::uint64_t> count_in(const json::Value& value) {
  if (const auto* number = value.if_uint64()) return *number;
  if (const auto* number = value.if_int64(); number && *number >= 0)
    return static_cast<std::uint64_t>(*number);
  return std::nullopt;
}

Result<std::vector<std::uint64_t>> read_shape(const json::Object& entry) {
  const json::Value* value = entry.if_contains("shape");
  const json::Array* array = value ? value->if_array() : nullptr;
  if (!array || array->size() > kMaxDimensions)
    return invalid(fmt::format("shape should be an array of at most {} numbers", kMaxDimensions));
  std::vector<std::uint64_t> shape;
  for (const json::Value& one : *array) {
    const auto count = count_in(one);
    if (!count) return invalid("shape should hold whole numbers from 0");
    shape.push_back(*count);
  }
  return shape;
}

/// Errors when the tensor would have more than 2^63 bytes.
Result<std::uint64_t> size_of(const TensorInfo& tensor) {
  std::uint64_t bytes = element_bytes(tensor.type);
  for (const std::uint64_t count : tensor.shape) {
    if (count != 0 && bytes > std::numeric_limits<std::int64_t>::max() / count)
      return invalid(fmt::format("its shape [{}] is too large", fmt::join(tensor.shape, ", ")));
    bytes *= count;
  }
  return bytes;
}

/// `begin` comes out relative to the data.
Result<SafetensorsHeader::Entry> read_entry(std::string_view name, const json::Value& value) {
  SafetensorsHeader::Entry entry;
  entry.tensor.name = name;
  const json::Object* object = value.if_object();
  if (!object) return invalid("should be an object with dtype, shape and data_offsets");
  const json::Value* type_name = object->if_contains("dtype");
  if (!type_name || !type_name->is_string()) return invalid("has no dtype");
  const auto type = data_type_named(json::view(type_name->get_string()));
  if (!type) return invalid(fmt::format("unknown dtype {}", json::view(type_name->get_string())));
  entry.tensor.type = *type;
  entry.tensor.shape = TRY(read_shape(*object));
  const json::Value* offsets = object->if_contains("data_offsets");
  const json::Array* pair = offsets ? offsets->if_array() : nullptr;
  if (!pair || pair->size() != 2) return invalid("data_offsets should be two numbers");
  const auto begin = count_in((*pair)[0]);
  const auto end = count_in((*pair)[1]);
  if (!begin || !end || *begin > *end) return invalid("data_offsets should be two rising numbers");
  const std::uint64_t bytes = TRY(size_of(entry.tensor));
  if (*end - *begin != bytes)
    return invalid(fmt::format("{} needs {} bytes, data_offsets give {}",
                               entry.tensor.description(), bytes, *end - *begin));
  entry.begin = *begin;
  return entry;
}

Result<std::map<std::string, std::string>> read_metadata(const json::Value& value) {
  std::map<std::string, std::string> metadata;
  const json::Object* object = value.if_object();
  if (!object) return invalid("__metadata__ should be an object of strings");
  for (const auto& member : *object) {
    if (!member.value().is_string()) return invalid("__metadata__ should be an object of strings");
    metadata.emplace(std::string(member.key()), json::to_string(member.value().get_string()));
  }
  return metadata;
}

/// Makes the offsets absolute.
base::Status check_layout(std::vector<SafetensorsHeader::Entry>& entries, std::uint64_t data_begin,
                          std::uint64_t file_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.tensor.bytes()) < std::pair(b.begin, b.tensor.bytes());
  });
  std::uint64_t end = 0;
  for (auto& entry : entries) {
    if (entry.begin != end)
      return invalid(
          fmt::format("tensor {}: begins at byte {} of the data, the one before it ends "
                      "at {}",
                      entry.tensor.name, entry.begin, end));
    end += entry.tensor.bytes();
    entry.begin += data_begin;
  }
  if (data_begin + end == file_bytes) return {};
  if (data_begin + end > file_bytes) {
    return invalid(
        fmt::format("truncated: the header promises {} bytes, the file has {}; fetch it "
                    "again",
                    data_begin + end, file_bytes));
  }
  return invalid(fmt::format("has {} bytes after its last tensor", file_bytes - data_begin - end));
}

}  // namespace

std::uint64_t TensorInfo::elements() const {
  std::uint64_t count = 1;
  for (const std::uint64_t one : shape) count *= one;
  return count;
}

std::string TensorInfo::description() const {
  return fmt::format("{} [{}]", name_of(type), fmt::join(shape, ", "));
}

Result<SafetensorsHeader> parse_safetensors_header(std::string_view bytes,
                                                   std::uint64_t file_bytes) {
  if (bytes.size() < kLengthBytes || file_bytes < kLengthBytes)
    return invalid("is not a safetensors file: it has fewer than 8 bytes");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxSafetensorsHeaderBytes || length > file_bytes - kLengthBytes ||
      length > bytes.size() - kLengthBytes) {
    return invalid(
        fmt::format("is not a whole safetensors file: it promises a header of {} bytes, "
                    "the file has {}",
                    length, file_bytes));
  }
  auto document = json::parse(bytes.substr(kLengthBytes, length),
                              {.max_depth = kMaxDepth, .max_bytes = kMaxSafetensorsHeaderBytes});
  if (!document) return std::move(document).error().context("header");
  const json::Object* object = document->if_object();
  if (!object) return invalid("header: should be an object");
  SafetensorsHeader header;
  for (const auto& member : *object) {
    const std::string_view name(member.key().data(), member.key().size());
    if (name == "__metadata__") {
      header.metadata = TRY(read_metadata(member.value()));
      continue;
    }
    auto entry = read_entry(name, member.value());
    if (!entry) return std::move(entry).error().context(fmt::format("tensor {}", name));
    header.entries.push_back(*std::move(entry));
  }
  TRY(check_layout(header.entries, kLengthBytes + length, file_bytes));
  return header;
}

}  // namespace model
