#pragma once

#include <cstdint>
#include <functional>

namespace oci {

/// How far a transfer is. `total` is 0 while unknown.
struct Progress {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
};

/// Called on the thread that transfers, often: it must be quick. May be empty.
using ProgressCallback = std::function<void(const Progress&)>;

}  // namespace oci
