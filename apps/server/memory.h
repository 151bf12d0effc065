#pragma once

#include <cstdint>

namespace server {

/// What this process may still take: the machine's available memory, or less where its control
/// group has a limit. 0 when neither can be read.
std::uint64_t available_memory_bytes();

}  // namespace server
