#include "nodeagent/volumes/payload.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/random.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;

constexpr const char* kData = "..data";
/// Begins the names that are the node's own; files of a volume may not use it.
constexpr std::string_view kOwnPrefix = "..";
constexpr std::size_t kGenerationSuffix = 10;
constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kModeBits = 07777;

/// The first component: what the volume's own directory shows of the file.
std::string top_name(const std::string& path) {
  return fs::path(path).lexically_normal().begin()->string();
}

base::Status check_paths(const VolumeFiles& files) {
  for (const auto& [path, file] : files) {
    if (!stays_inside(path)) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("path '{}' must stay inside the volume", path));
    }
    if (top_name(path).starts_with(kOwnPrefix)) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("path '{}' must not start with '..'", path));
    }
    if (top_name(path) == "." || path.ends_with('/')) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("path '{}' must name a file of the volume", path));
    }
  }
  return {};
}

base::Status make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return base::system_error("creating " + path.string(), error.value());
  ::chmod(path.c_str(), kDirectoryMode);
  return {};
}

/// Makes `link` point to `target` in one step, whatever was there but a directory.
base::Status replace_link(const fs::path& link, const std::string& target) {
  const std::string temporary =
      (link.parent_path() / (std::string(kOwnPrefix) + base::random_name_suffix(kGenerationSuffix)))
          .string();
  std::error_code error;
  fs::create_symlink(target, temporary, error);
  if (error) return base::system_error("linking " + link.string(), error.value());
  if (std::rename(temporary.c_str(), link.c_str()) != 0) {
    const int reason = errno;
    fs::remove(temporary, error);
    return base::system_error("linking " + link.string(), reason);
  }
  return {};
}

bool is_file_as_wanted(const fs::path& path, const VolumeFile& wanted) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if ((info.st_mode & kModeBits) != wanted.mode) return false;
  if (static_cast<std::size_t>(info.st_size) != wanted.content.size()) return false;
  const auto content = base::read_file(path);
  return content && *content == wanted.content;
}

/// Whether `..data` names a directory that holds these files and no others.
bool holds(const fs::path& data, const VolumeFiles& files) {
  std::error_code error;
  std::size_t found = 0;
  fs::recursive_directory_iterator at(data, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (!at->is_directory(error)) ++found;
  }
  return !error && found == files.size() && std::ranges::all_of(files, [&](const auto& entry) {
    return is_file_as_wanted(data / entry.first, entry.second);
  });
}

base::Status write_generation(const fs::path& directory, const VolumeFiles& files) {
  const std::string name = std::string(kOwnPrefix) + base::random_name_suffix(kGenerationSuffix);
  TRY(make_directory(directory / name));
  for (const auto& [path, file] : files) {
    const fs::path target = directory / name / path;
    TRY(make_directory(target.parent_path()));
    TRY(base::write_file_atomic(target, file.content, file.mode));
  }
  return replace_link(directory / kData, name);
}

std::string through_data(const std::string& name) { return std::string(kData) + "/" + name; }

/// What `path` links to; "" when it is no link.
std::string link_target(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? std::string() : target.string();
}

base::Status show_names(const fs::path& directory, const std::set<std::string>& names) {
  for (const std::string& name : names) {
    const fs::path link = directory / name;
    if (link_target(link) == through_data(name)) continue;
    // A subPath mount of what was not there yet has left an empty directory.
    std::error_code error;
    if (fs::is_directory(fs::symlink_status(link, error))) fs::remove(link, error);
    TRY(replace_link(link, through_data(name)));
  }
  return {};
}

/// Removes the names that are shown no more, earlier generations and what a crash left of one.
void remove_old(const fs::path& directory, const std::set<std::string>& names) {
  const std::string generation = link_target(directory / kData);
  std::vector<fs::path> old;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_own = name.starts_with(kOwnPrefix) && name != kData && name != generation;
    if (is_own || (link_target(entry.path()) == through_data(name) && !names.contains(name)))
      old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove_all(path, error);
}

}  // namespace

bool stays_inside(const std::string& relative) {
  const fs::path path(relative);
  return !relative.empty() && path.is_relative() &&
         std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

base::Status write_payload(const std::string& directory, const VolumeFiles& files) {
  TRY(check_paths(files));
  TRY(make_directory(directory));
  if (!holds(fs::path(directory) / kData, files)) TRY(write_generation(directory, files));
  std::set<std::string> names;
  for (const auto& [path, file] : files) names.insert(top_name(path));
  TRY(show_names(directory, names));
  remove_old(directory, names);
  return {};
}

}  // namespace nodeagent
