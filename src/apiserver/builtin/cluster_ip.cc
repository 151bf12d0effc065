#include "apiserver/builtin/cluster_ip.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace apiserver {
namespace {

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string format_ipv4(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255,
                     address & 255);
}

/// FNV-1a: stable over runs and machines.
std::uint32_t hash_name(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

}  // namespace

base::Result<ClusterIpAllocator> ClusterIpAllocator::create(std::string_view cidr) {
  const auto slash = cidr.find('/');
  const auto address = parse_ipv4(cidr.substr(0, slash));
  int bits = 0;
  if (slash != std::string_view::npos)
    std::from_chars(cidr.data() + slash + 1, cidr.data() + cidr.size(), bits);
  if (!address || bits < 8 || bits > 30)
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("service range \"{}\" must be an IPv4 network such as "
                                   "127.64.0.0/10",
                                   cidr));
  const std::uint32_t size = 1U << (32 - bits);
  return ClusterIpAllocator(*address & ~(size - 1), size);
}

base::Result<std::string> ClusterIpAllocator::allocate(std::string_view owner) {
  // The first and last addresses of the range stay unused.
  const std::uint32_t usable = size_ - 2;
  const std::uint32_t start = hash_name(owner) % usable;
  return taken_.with([&](auto& taken) -> base::Result<std::string> {
    for (std::uint32_t i = 0; i < usable; ++i) {
      const std::uint32_t address = first_ + 1 + (start + i) % usable;
      if (taken.emplace(address, std::string(owner)).second) return format_ipv4(address);
    }
    return base::Error(base::ErrorCode::Unavailable, "the service range is full");
  });
}

base::Status ClusterIpAllocator::take(std::string_view address, std::string_view owner) {
  const auto number = parse_ipv4(address);
  if (!number || *number <= first_ || *number - first_ >= size_ - 1)
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("the provided IP is not in the valid range; the range of valid "
                                   "IPs is {} to {}",
                                   format_ipv4(first_ + 1), format_ipv4(first_ + size_ - 2)));
  return taken_.with([&](auto& taken) -> base::Status {
    const auto [at, fresh] = taken.emplace(*number, std::string(owner));
    if (fresh || at->second == owner) return {};
    return base::Error(base::ErrorCode::AlreadyExists, "provided IP is already allocated");
  });
}

void ClusterIpAllocator::release(std::string_view address, std::string_view owner) {
  const auto number = parse_ipv4(address);
  if (!number) return;
  taken_.with([&](auto& taken) {
    const auto at = taken.find(*number);
    if (at != taken.end() && at->second == owner) taken.erase(at);
  });
}

}  // namespace apiserver
