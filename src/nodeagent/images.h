#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nodeagent {

/// One image that this node can run without pulling it: its programs lie in a directory here.
struct LocalImage {
  /// Matches images whose repository is this or ends in `/` + this: `kaito-runtime`.
  std::string repository_suffix;
  std::string bin_dir;
  /// Run when a container names no command.
  std::vector<std::string> default_command;
};

/// Maps image references to programs of this machine. Immutable.
class ImageMap {
 public:
  ImageMap() = default;
  explicit ImageMap(std::vector<LocalImage> images) : images_(std::move(images)) {}

  /// Null when the image is not known here.
  const LocalImage* find(std::string_view reference) const;
  /// What users read when `find` gives null.
  std::string explain_unknown(std::string_view reference) const;

 private:
  std::vector<LocalImage> images_;
};

/// `registry:5000/a/b:tag@sha256:x` -> `registry:5000/a/b`.
std::string_view repository_of(std::string_view reference);

/// The argument vector of a container: its command or the image's, then its arguments. A program
/// given by an absolute path that this machine lacks is looked for by name in the image's
/// directory. Errors: Invalid when neither names a program.
base::Result<std::vector<std::string>> resolve_command(const LocalImage& image,
                                                       std::vector<std::string> command,
                                                       const std::vector<std::string>& args);

}  // namespace nodeagent
