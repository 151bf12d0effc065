#pragma once

#include <cstddef>
#include <cstdint>

namespace tuning {

/// SplitMix64's output function: every bit depends on all of the input's. Numbers drawn as
/// random_bits(key + place) depend on what they are for and not on when they are drawn, so that
/// they can be drawn again by any thread. Source: Steele, Lea, Flood, OOPSLA 2014.
inline std::uint64_t random_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// Evenly in [0, 1).
inline double random_unit(std::uint64_t x) {
  return static_cast<double>(random_bits(x) >> 11) * 0x1p-53;
}

/// A key of its own for use number `use` of `seed`.
inline std::uint64_t random_key(std::uint64_t seed, std::uint64_t use) {
  return random_bits(random_bits(seed) + use);
}

}  // namespace tuning
