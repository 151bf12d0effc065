#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"

namespace nodeagent {

/// Addresses for pods, one each, from a part of 127.0.0.0/8: every such address reaches this
/// machine without configuration. Safe from many threads.
class IpPool {
 public:
  /// Errors: Invalid unless `cidr` is `127.x.y.z/n` with n in 9..30.
  static base::Result<IpPool> create(std::string_view cidr);
  IpPool(IpPool&& other) noexcept : first_(other.first_), size_(other.size_) {}

  /// The address of `owner`: `wanted` when it is free and in the range, else one that depends on
  /// the owner alone unless it is taken. Errors: Unavailable when all are taken.
  base::Result<std::string> acquire(const std::string& owner, const std::string& wanted);
  void release(const std::string& owner);

 private:
  IpPool(std::uint32_t first, std::uint32_t size) : first_(first), size_(size) {}

  std::uint32_t first_;
  std::uint32_t size_;
  base::Guarded<std::map<std::uint32_t, std::string>> owners_;
};

}  // namespace nodeagent
