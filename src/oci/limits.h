#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every bound of the module, in one place.
namespace oci {

inline constexpr std::size_t kMaxManifestBytes = 4 << 20;
inline constexpr std::size_t kMaxConfigBytes = 4 << 20;
inline constexpr std::size_t kMaxIndexFileBytes = 64 << 20;
inline constexpr std::size_t kMaxDescriptors = 4096;
inline constexpr std::size_t kMaxReferenceLength = 255;  ///< Domain and repository, as Docker.
inline constexpr std::size_t kMaxTagLength = 128;
inline constexpr std::size_t kMaxFileNameLength = 1024;
inline constexpr std::size_t kMaxFileNameComponent = 255;
inline constexpr std::size_t kMaxErrorBodyBytes = 64 << 10;
inline constexpr std::size_t kCopyBufferBytes = 1 << 20;
inline constexpr int kMaxIndexDepth = 2;
inline constexpr int kMaxPages = 1000;  ///< Of a tag list or catalogue.

/// Blobs from this size on are fetched in parts of kRangeBytes, several at a time.
inline constexpr std::uint64_t kMinRangedBytes = 32 << 20;
inline constexpr std::uint64_t kRangeBytes = 2 << 20;
/// Blobs of one image that move at a time.
inline constexpr std::size_t kParallelBlobs = 3;
/// A download is sent on its way to the disk in steps of this, so that its end need not wait.
inline constexpr std::uint64_t kWritebackBytes = 8 << 20;
/// A server slower than this over the time of a stall counts as broken.
inline constexpr double kMinBytesPerSecond = 1024;

/// A transfer that moved this much since its last failure starts counting its attempts anew.
inline constexpr std::uint64_t kProgressResetsAttempts = 1 << 20;
inline constexpr std::chrono::seconds kMaxRetryAfter{60};
/// What an image may unpack to. An archive that grows beyond the floor may be at most this many
/// times its compressed size: gzip reaches 1032 for zeros, real files stay below 20.
inline constexpr std::uint64_t kMaxExpansion = 200;
inline constexpr std::uint64_t kExpansionFloorBytes = 256 << 20;
inline constexpr std::uint64_t kMaxUnpackedBytes = std::uint64_t{4} << 40;
inline constexpr std::uint64_t kMaxUnpackedEntries = 1'000'000;
inline constexpr std::size_t kMaxEntryPathLength = 4096;
inline constexpr std::size_t kMaxEntryDepth = 128;

/// Left free on a disk that a download fills.
inline constexpr std::uint64_t kDiskReserveBytes = 16 << 20;
inline constexpr std::chrono::milliseconds kLockPoll{100};

}  // namespace oci
