#include "oci/failure.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>

namespace oci {

namespace {
constexpr int kInsufficientStorage = 507;
}

base::Error digest_mismatch(std::string_view what) {
  return base::Error(base::ErrorCode::Conflict, std::string(what));
}

bool is_digest_mismatch(const base::Error& error) {
  return error.code() == base::ErrorCode::Conflict;
}

base::Error disk_full(std::string_view where, DiskNeed need) {
  return disk_full(fmt::format("not enough space in {}: need {}, have {}; free some and run again",
                               where, format_bytes(need.needed_bytes),
                               format_bytes(need.available_bytes)));
}

base::Error disk_full(std::string_view message) {
  return base::Error(base::ErrorCode::Internal, std::string(message))
      .with_http_status(kInsufficientStorage);
}

bool is_disk_full(const base::Error& error) { return error.http_status() == kInsufficientStorage; }

base::Error file_error(std::string_view what, int error_number) {
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return disk_full(fmt::format("{}: the disk is full; free some space and run again", what));
  }
  return base::system_error(what, error_number);
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace oci
