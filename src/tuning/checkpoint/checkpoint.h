#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace tuning {

/// Everything that changes while a run goes on.
struct Checkpoint {
  std::size_t steps = 0;
  /// Of the model and the targets that the numbers belong to.
  std::string fingerprint;
  std::string caller_state;
  std::vector<float> parameters;
  std::vector<float> first_moments;
  std::vector<float> second_moments;
};

/// The same without owning the numbers.
struct CheckpointView {
  std::size_t steps = 0;
  std::string_view fingerprint;
  std::string_view caller_state;
  std::span<const float> parameters;
  std::span<const float> first_moments;
  std::span<const float> second_moments;
};

/// One file: magic, length of the header, header (JSON), the three arrays (little-endian floats),
/// SHA-256 of all before in hexadecimal. Written beside, synced, then renamed: at every moment the
/// old or the new one is whole under `path`. Errors: system errors.
base::Status write_checkpoint(const std::filesystem::path& path, const CheckpointView& checkpoint);

/// Errors: NotFound; Invalid for what is no checkpoint, is cut short or damaged.
base::Result<Checkpoint> read_checkpoint(const std::filesystem::path& path);

}  // namespace tuning
