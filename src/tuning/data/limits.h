#pragma once

#include <cstddef>
#include <cstdint>

namespace tuning {

/// One row as text, in any format.
inline constexpr std::size_t kMaxRowBytes = 16 << 20;
inline constexpr std::size_t kMaxRows = 20'000'000;
/// Text of all rows together, which is held in memory.
inline constexpr std::uint64_t kMaxTextBytes = std::uint64_t{8} << 30;
inline constexpr std::size_t kMaxColumns = 4096;
inline constexpr std::size_t kMaxMessages = 4096;
/// Files that are looked at below a data folder.
inline constexpr std::size_t kMaxFolderEntries = 100'000;

}  // namespace tuning
