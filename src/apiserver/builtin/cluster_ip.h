#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"

namespace apiserver {

/// Hands out the cluster IPs of Services from an IPv4 range. Safe to use from many threads.
class ClusterIpAllocator {
 public:
  /// Errors: Invalid unless `cidr` is `a.b.c.d/n` with n in 8..30.
  static base::Result<ClusterIpAllocator> create(std::string_view cidr);
  ClusterIpAllocator(ClusterIpAllocator&& other) noexcept
      : first_(other.first_), size_(other.size_) {}

  /// An address that depends on `owner` alone unless it is taken. Errors: Unavailable when full.
  base::Result<std::string> allocate(std::string_view owner);
  /// Takes a certain address. Errors: Invalid outside the range, AlreadyExists when another owner
  /// has it.
  base::Status take(std::string_view address, std::string_view owner);
  /// Gives back what `owner` holds at `address`; anything else is left alone.
  void release(std::string_view address, std::string_view owner);

 private:
  ClusterIpAllocator(std::uint32_t first, std::uint32_t size) : first_(first), size_(size) {}

  std::uint32_t first_;
  std::uint32_t size_;
  base::Guarded<std::map<std::uint32_t, std::string>> taken_;
};

}  // namespace apiserver
