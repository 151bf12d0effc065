#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "model/mapped_file.h"
#include "model/safetensors/data_type.h"

namespace model {

/// Largest header that is read; the format's own reader has the same limit.
inline constexpr std::size_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// What the header of a safetensors file says of one tensor.
struct TensorInfo {
  std::string name;
  DataType type = DataType::F32;
  std::vector<std::uint64_t> shape;  ///< Outermost first; empty for a scalar.

  std::uint64_t elements() const;
  std::uint64_t bytes() const { return elements() * element_bytes(type); }
  /// `BF16 [8, 576]`
  std::string description() const;
};

struct SafetensorsHeader {
  struct Entry {
    TensorInfo tensor;
    std::uint64_t begin = 0;  ///< From the start of the file.
  };
  std::vector<Entry> entries;                   ///< In the order of their bytes.
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
};

/// Parses the header in `bytes` (the front of a file of `file_bytes` bytes). Tensors must fill the
/// rest of the file without holes or overlaps. Errors: Invalid, naming tensor and mistake.
base::Result<SafetensorsHeader> parse_safetensors_header(std::string_view bytes,
                                                         std::uint64_t file_bytes);

/// A tensor in a mapped file; valid while its owner lives. `bytes` have no particular alignment.
struct TensorView {
  TensorInfo info;
  std::span<const std::byte> bytes;

  /// Errors: Invalid for element types without a conversion; the message names the tensor.
  base::Result<std::vector<float>> floats() const;
};

/// The tensors of one safetensors file, or of a folder with one or with shards and their index,
/// mapped into memory. Immutable; any thread.
class Safetensors {
 public:
  /// `path`: a .safetensors file, or a folder that holds `model.safetensors.index.json`,
  /// `model.safetensors` or exactly one .safetensors file.
  /// Errors: NotFound, Forbidden, Invalid (which file, which tensor, what is wrong).
  static base::Result<Safetensors> open(const std::filesystem::path& path);

  /// In the order of the files and their bytes.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* find(std::string_view name) const;
  /// Errors: NotFound naming tensor and file.
  base::Result<const TensorView*> get(std::string_view name) const;
  /// Of the first file.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  Safetensors() = default;
  base::Status add(const std::filesystem::path& path);
  base::Status add_shards(const std::filesystem::path& index);

  std::string origin_;
  std::vector<MappedFile> mappings_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::size_t, std::less<>> places_;  ///< Into `tensors_`.
  std::map<std::string, std::string> metadata_;
};

/// Writes one safetensors file, tensor by tensor, so that a model need not fit into memory. Appears
/// under its name, whole and on disk, with `finish`. One thread.
class SafetensorsWriter {
 public:
  using Metadata = std::map<std::string, std::string>;
  /// Errors: Invalid for a name given twice; system errors.
  static base::Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                                const std::vector<TensorInfo>& tensors,
                                                const Metadata& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&& other) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) = delete;

  /// The next bytes; the tensors follow each other in the order of `create`, in pieces of any size.
  base::Status write(std::span<const std::byte> bytes);
  /// Errors: Invalid when bytes are missing or too many; system errors.
  base::Status finish();

 private:
  SafetensorsWriter() = default;
  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< Empty once finished.
  base::UniqueFd file_;
  std::uint64_t missing_bytes_ = 0;
};

/// A whole file at once.
base::Status write_safetensors(const std::filesystem::path& path,
                               std::span<const TensorView> tensors,
                               const SafetensorsWriter::Metadata& metadata = {});

}  // namespace model
