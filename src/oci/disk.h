#pragma once

#include <cstdint>
#include <filesystem>

#include "base/file.h"
#include "base/result.h"

/// What the stores need from a file system beyond base/file.h.
namespace oci {

/// Bytes a normal user can still write below `path`.
base::Result<std::uint64_t> available_bytes(const std::filesystem::path& path);

/// Makes a rename within `directory` durable.
base::Status sync_directory(const std::filesystem::path& directory);

/// Makes the content of `fd` durable (unless Cached), read-only, and visible as `target` in one
/// step.
base::Status publish(int fd, const std::filesystem::path& temporary,
                     const std::filesystem::path& target,
                     base::Durability durability = base::Durability::Synced);

base::Status make_directories(const std::filesystem::path& directory);

}  // namespace oci
