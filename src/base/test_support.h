#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/random.h"

/// Helpers that the tests of several modules share; no program includes them.
namespace base::test {

/// A folder that goes away with the test.
class TempDir {
 public:
  TempDir()
      : path_(std::filesystem::temp_directory_path() / ("kaito-test-" + random_name_suffix(10))) {
    std::filesystem::create_directories(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Bytes that look random and are the same in every run.
inline std::string sample_bytes(std::size_t count, std::uint32_t seed = 1) {
  std::string bytes(count, '\0');
  for (char& c : bytes) {
    seed = seed * 1664525U + 1013904223U;
    c = static_cast<char>(seed >> 24);
  }
  return bytes;
}

}  // namespace base::test
