#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace model {

/// Builds a GGUF file (version 3, alignment 32): first all metadata and the list of tensors, then
/// `write`. One thread.
class GgufWriter {
 public:
  void text(std::string_view key, std::string_view value);
  void number(std::string_view key, std::uint32_t value);
  void real(std::string_view key, float value);
  void boolean(std::string_view key, bool value);
  void texts(std::string_view key, std::span<const std::string> values);
  void integers(std::string_view key, std::span<const std::int32_t> values);
  void reals(std::string_view key, std::span<const float> values);

  /// `shape` has the outermost extent first. Its bytes have the place of this call in `write`.
  void tensor(std::string_view name, const GgufType& type, std::span<const std::uint64_t> shape);
  std::size_t tensor_count() const { return tensor_bytes_.size(); }

  /// Writes everything to `fd`; `bytes_of` gives the bytes of each tensor in turn, which need to
  /// live until its next call. Errors: those of `bytes_of`, Internal when a size is wrong, system
  /// errors.
  using BytesOf = std::function<base::Result<std::span<const std::byte>>(std::size_t tensor)>;
  base::Status write(int fd, const BytesOf& bytes_of) const;

 private:
  void key(std::string_view name, GgufValueType type);
  void array(std::string_view name, GgufValueType type, std::size_t count);

  std::string metadata_;
  std::uint64_t metadata_count_ = 0;
  std::string tensors_;
  std::vector<std::uint64_t> tensor_bytes_;
  std::uint64_t data_bytes_ = 0;
};

}  // namespace model
