#pragma once

#include <chrono>
#include <cstddef>

/// Every bound of the module, in one place.
namespace registry {

inline constexpr std::size_t kMaxUploads = 256;
inline constexpr std::size_t kCopyBufferBytes = 1 << 20;
inline constexpr std::size_t kMaxPageEntries = 1000;
inline constexpr std::size_t kMaxConnections = 128;

/// An upload that nobody touched for this long is dropped.
inline constexpr std::chrono::hours kUploadLife{24};
/// A blob that no manifest uses stays this long, since its manifest may be on the way.
inline constexpr std::chrono::minutes kOrphanLife{10};
inline constexpr std::chrono::minutes kCollectInterval{10};
inline constexpr std::chrono::seconds kUploadStallTimeout{60};

}  // namespace registry
