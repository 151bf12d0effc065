#include "base/random.h"

#include <sys/random.h>

#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "base/encoding.h"

namespace base {

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t filled = 0;
  while (filled < count) {
    const auto got = ::getrandom(bytes.data() + filled, count - filled, 0);
    if (got < 0) {
      ASSERT(errno == EINTR);
      continue;
    }
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::string random_uuid() {
  std::string bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3F) | 0x80);
  std::string hex = to_hex({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
  for (const std::size_t at : {20UZ, 16UZ, 12UZ, 8UZ}) hex.insert(at, "-");
  return hex;
}

std::uint64_t random_below(std::uint64_t bound) {
  ASSERT(bound > 0);
  std::uint64_t value = 0;
  const std::string bytes = random_bytes(sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value % bound;
}

std::string random_name_suffix(std::size_t length) {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string suffix;
  for (std::size_t i = 0; i < length; ++i)
    suffix.push_back(kAlphabet[random_below(kAlphabet.size())]);
  return suffix;
}

}  // namespace base
