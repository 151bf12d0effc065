#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace tuning {

/// The loss curve on disk: one JSON object a line, each there for good once written. One thread.
class TrainingLog {
 public:
  /// Keeps the first `keep_bytes` of the file and drops the rest, which a checkpoint does not know.
  static base::Result<TrainingLog> open(const std::filesystem::path& file,
                                        std::uint64_t keep_bytes);
  base::Status append(std::string_view json_line);
  std::uint64_t bytes() const { return bytes_; }

 private:
  TrainingLog(base::UniqueFd fd, std::uint64_t bytes) : fd_(std::move(fd)), bytes_(bytes) {}
  base::UniqueFd fd_;
  std::uint64_t bytes_;
};

}  // namespace tuning
