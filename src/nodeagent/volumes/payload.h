#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "base/result.h"

namespace nodeagent {

inline constexpr mode_t kDefaultFileMode = 0644;

struct VolumeFile {
  std::string content;
  mode_t mode = kDefaultFileMode;
};
/// By path within the volume.
using VolumeFiles = std::map<std::string, VolumeFile>;

/// False for paths that are absolute or climb out of their directory.
bool stays_inside(const std::string& relative);

/// Makes `directory` show exactly `files`, laid out as kubelet does: the files lie in a directory
/// of their own that the link `..data` names, and what the volume shows are links through it. So
/// one rename replaces them all, a reader sees either the old or the new content of each, whoever
/// has `directory` mounted sees the change, and a file mounted by itself stays as it was. Writes
/// nothing when all is there. One caller at a time for each directory. Errors: Invalid for a path
/// that is not allowed; those of the file system, after which running it again mends.
base::Status write_payload(const std::string& directory, const VolumeFiles& files);

}  // namespace nodeagent
