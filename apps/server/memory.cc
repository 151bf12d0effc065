#include "apps/server/memory.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "base/file.h"

namespace server {
namespace {

std::uint64_t number_in(std::string_view text) {
  const auto first = text.find_first_of("0123456789");
  if (first == std::string_view::npos) return 0;
  std::uint64_t number = 0;
  std::from_chars(text.data() + first, text.data() + text.size(), number);
  return number;
}

std::uint64_t number_of_file(const char* path) {
  const auto text = base::read_file(path);
  return text ? number_in(*text) : 0;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  std::uint64_t available = 0;
  if (const auto text = base::read_file("/proc/meminfo")) {
    const auto line = text->find("MemAvailable:");
    if (line != std::string::npos)
      available = number_in(std::string_view(*text).substr(line)) << 10;
  }
  // "max" holds no digits: no limit.
  const std::uint64_t limit = number_of_file("/sys/fs/cgroup/memory.max");
  const std::uint64_t used = number_of_file("/sys/fs/cgroup/memory.current");
  if (limit > used) available = available == 0 ? limit - used : std::min(available, limit - used);
  return available;
}

}  // namespace server
