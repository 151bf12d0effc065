#include "nodeagent/ip_pool.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/sha256.h"

namespace nodeagent {
namespace {

std::optional<std::uint32_t> parse_address(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string format_address(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255,
                     address & 255);
}

constexpr std::uint32_t kLoopbackNet = 127U << 24;

}  // namespace

base::Result<IpPool> IpPool::create(std::string_view cidr) {
  const base::Error error(
      base::ErrorCode::Invalid,
      fmt::format("pod range '{}' is not of the form 127.x.y.z/n with n in 9..30", cidr));
  const std::size_t slash = cidr.find('/');
  if (slash == std::string_view::npos) return error;
  const auto address = parse_address(std::string(cidr.substr(0, slash)));
  int bits = 0;
  const std::string_view length = cidr.substr(slash + 1);
  const auto [end, failed] = std::from_chars(length.data(), length.data() + length.size(), bits);
  if (!address || failed != std::errc() || end != length.data() + length.size() || bits < 9 ||
      bits > 30)
    return error;
  if ((*address & 0xff000000U) != kLoopbackNet) return error;
  const std::uint32_t size = 1U << (32 - bits);
  return IpPool(*address & ~(size - 1), size);
}

base::Result<std::string> IpPool::acquire(const std::string& owner, const std::string& wanted) {
  const std::optional<std::uint32_t> preferred = parse_address(wanted);
  const auto hashed =
      static_cast<std::uint32_t>(std::stoul(base::sha256_hex(owner).substr(0, 8), nullptr, 16));
  const std::optional<std::uint32_t> taken =
      owners_.with([&](auto& owners) -> std::optional<std::uint32_t> {
        const auto take = [&](std::uint32_t address) {
          const auto [slot, is_new] = owners.try_emplace(address, owner);
          return is_new || slot->second == owner;
        };
        const bool in_range = preferred && *preferred > first_ && *preferred < first_ + size_ - 1;
        if (in_range && take(*preferred)) return preferred;
        for (std::uint32_t i = 0; i < size_ - 2; ++i) {
          const std::uint32_t address = first_ + 1 + (hashed + i) % (size_ - 2);
          if (take(address)) return address;
        }
        return std::nullopt;
      });
  if (!taken) return base::Error(base::ErrorCode::Unavailable, "every pod address is taken");
  return format_address(*taken);
}

void IpPool::release(const std::string& owner) {
  owners_.with([&](auto& owners) {
    std::erase_if(owners, [&](const auto& entry) { return entry.second == owner; });
  });
}

}  // namespace nodeagent
