#include "nodeagent/images.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace nodeagent {

std::string_view repository_of(std::string_view reference) {
  reference = reference.substr(0, reference.find('@'));
  const std::size_t slash = reference.rfind('/');
  const std::size_t colon = reference.rfind(':');
  const bool has_tag =
      colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  return has_tag ? reference.substr(0, colon) : reference;
}

const LocalImage* ImageMap::find(std::string_view reference) const {
  const std::string_view repository = repository_of(reference);
  const auto found = std::ranges::find_if(images_, [&](const LocalImage& image) {
    return repository == image.repository_suffix ||
           repository.ends_with("/" + image.repository_suffix);
  });
  return found == images_.end() ? nullptr : &*found;
}

std::string ImageMap::explain_unknown(std::string_view reference) const {
  std::string known;
  for (const LocalImage& image : images_)
    known += (known.empty() ? "" : ", ") + image.repository_suffix;
  return fmt::format("image \"{}\" is not available on this node: it runs its own images only ({})",
                     reference, known.empty() ? "none" : known);
}

base::Result<std::vector<std::string>> resolve_command(const LocalImage& image,
                                                       std::vector<std::string> command,
                                                       const std::vector<std::string>& args) {
  std::vector<std::string> argv = std::move(command);
  if (argv.empty()) argv = image.default_command;
  argv.insert(argv.end(), args.begin(), args.end());
  if (argv.empty()) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("image {} has no default command: set .command", image.repository_suffix));
  }
  std::string& program = argv.front();
  if (program.starts_with('/') && ::access(program.c_str(), X_OK) != 0) {
    const std::string own =
        image.bin_dir + "/" + std::filesystem::path(program).filename().string();
    if (::access(own.c_str(), X_OK) == 0) program = own;
  }
  return argv;
}

}  // namespace nodeagent
