#pragma once

#include <cstdint>
#include <string>

namespace base {

/// Bytes from the operating system's generator, for tokens, keys and UIDs.
std::string random_bytes(std::size_t count);
/// A version 4 UUID (RFC 9562) in lower case.
std::string random_uuid();
/// A number in [0, bound), for jitter. `bound` must be positive.
std::uint64_t random_below(std::uint64_t bound);
/// `length` characters of Kubernetes' name suffix alphabet (no vowels, no look-alikes).
std::string random_name_suffix(std::size_t length);

}  // namespace base
