#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

/// The two failures of image transfers that callers tell apart beyond the error code.
namespace oci {

/// Bytes are not those that their digest names: code Conflict, which nothing else here uses.
base::Error digest_mismatch(std::string_view what);
bool is_digest_mismatch(const base::Error& error);

struct DiskNeed {
  std::uint64_t needed_bytes = 0;
  std::uint64_t available_bytes = 0;
};
/// A disk without room: HTTP status 507 (Insufficient Storage), whether local or a registry's.
base::Error disk_full(std::string_view where, DiskNeed need);
base::Error disk_full(std::string_view message);
bool is_disk_full(const base::Error& error);

/// The failure of a system call on a file; ENOSPC and EDQUOT become `disk_full`.
base::Error file_error(std::string_view what, int error_number);

/// `93.8 MiB`, for people.
std::string format_bytes(std::uint64_t bytes);

}  // namespace oci
