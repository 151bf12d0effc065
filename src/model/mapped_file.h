#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace model {

/// A whole file mapped into memory, read-only. Views into it stay valid while it is moved.
class MappedFile {
 public:
  /// Errors: NotFound, Forbidden, Invalid (not a plain file); each names `path`.
  static base::Result<MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::span<const std::byte> bytes() const { return {address_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(address_), size_}; }

 private:
  MappedFile() = default;
  std::byte* address_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace model
