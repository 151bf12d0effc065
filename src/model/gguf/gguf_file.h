#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/mapped_file.h"

namespace model {

/// How a tensor's elements are stored: in blocks. Source: ggml.h, type_traits.
struct GgufType {
  std::uint32_t id;
  std::string_view name;
  std::uint64_t block_elements;
  std::uint64_t block_bytes;
};
const GgufType* find_gguf_type(std::uint32_t id);
const GgufType* find_gguf_type(std::string_view name);

/// Types of metadata values; the numbers are those of the format.
enum class GgufValueType : std::uint32_t {
  Uint8,
  Int8,
  Uint16,
  Int16,
  Uint32,
  Int32,
  Float32,
  Bool,
  Text,
  Array,
  Uint64,
  Int64,
  Float64
};

/// A metadata value as it stands in the file.
struct GgufValue {
  GgufValueType type = GgufValueType::Uint8;  ///< Of the elements, where it is an array.
  bool is_array = false;
  std::uint64_t count = 1;
  std::string_view raw;  ///< All elements; a text without its length unless in an array.
};

struct GgufTensor {
  std::string_view name;
  std::vector<std::uint64_t> shape;  ///< Outermost first: the reverse of the file's order.
  const GgufType* type = nullptr;
  std::uint64_t begin = 0;  ///< From the start of the file.
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

/// The front of a GGUF file. Holds views into the parsed bytes.
struct GgufHeader {
  std::uint32_t version = 0;
  std::map<std::string_view, GgufValue> metadata;
  std::vector<GgufTensor> tensors;
  std::uint64_t data_end = 0;  ///< The size the file must have at least.

  /// Of the metadata; "" or nothing when absent or of another kind.
  std::string_view text(std::string_view key) const;
  std::optional<std::uint64_t> number(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<float> reals(std::string_view key) const;
  const GgufTensor* find_tensor(std::string_view name) const;

  std::map<std::string_view, std::size_t> places;  ///< Of `tensors`.
};

/// Parses the header in `bytes` (the front of a file of `file_bytes` bytes). Every count and length
/// is bounded. Errors: Invalid, saying what is wrong and where; for a short file the sizes wanted
/// and found.
base::Result<GgufHeader> parse_gguf_header(std::string_view bytes, std::uint64_t file_bytes);

/// A mapped GGUF file. Immutable; any thread.
class GgufFile {
 public:
  /// Errors: as above with the path, NotFound, Forbidden.
  static base::Result<GgufFile> open(const std::filesystem::path& path);

  const GgufHeader& header() const { return header_; }
  std::span<const std::byte> bytes_of(const GgufTensor& tensor) const {
    return file_.bytes().subspan(tensor.begin, tensor.bytes);
  }

 private:
  GgufFile(MappedFile file, GgufHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  MappedFile file_;
  GgufHeader header_;
};

}  // namespace model
