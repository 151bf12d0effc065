#pragma once

#include <chrono>
#include <cstddef>

namespace inference {

/// As many as a Workspace may name.
inline constexpr std::size_t kMaxAdapters = 10;
/// A Kubernetes object name has no more.
inline constexpr std::size_t kMaxAdapterNameBytes = 253;
inline constexpr std::size_t kMaxAdaptersFileBytes = 1 << 20;

/// How often the adapters file is looked at.
inline constexpr std::chrono::seconds kAdaptersFileCheck{1};
/// Pauses between the tries to get an adapter; each is twice the one before.
inline constexpr std::chrono::seconds kAdapterRetryFirst{1};
inline constexpr std::chrono::seconds kAdapterRetryMax{60};
/// One try, download included.
inline constexpr std::chrono::minutes kAdapterFetchTimeout{30};

}  // namespace inference
