#include "oci/unpack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "base/file.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "oci/tar_reader.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";
constexpr mode_t kPermissions = 0777;
constexpr mode_t kFileOwner = 0600;  // What its owner can do in any case.
constexpr mode_t kFolderOwner = 0700;
constexpr std::size_t kMaxNamesInMessage = 12;

using Path = std::vector<std::string>;

std::string join(const Path& path) { return fmt::format("{}", fmt::join(path, "/")); }

/// A name of an image for a message: bounded, without control characters.
std::string shown(std::string_view name) {
  std::string text(name.substr(0, 120));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  }
  return text;
}

/// Components without empty ones and `.`; nothing when there is a `..` or too much of anything.
std::optional<Path> split(std::string_view text) {
  if (text.size() > kMaxEntryPathLength || text.contains('\0')) return std::nullopt;
  Path path;
  while (!text.empty()) {
    const auto slash = std::min(text.find('/'), text.size());
    const std::string_view name = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (name.empty() || name == ".") continue;
    if (name == ".." || name.size() > kMaxFileNameComponent || path.size() == kMaxEntryDepth)
      return std::nullopt;
    path.emplace_back(name);
  }
  return path;
}

/// The target of an absolute link, seen from the folder that the link `at` lies in.
std::string relative_target(const Path& at, std::string_view absolute) {
  Path target;
  while (!absolute.empty()) {
    const auto slash = std::min(absolute.find('/'), absolute.size());
    const std::string_view name = absolute.substr(0, slash);
    absolute.remove_prefix(std::min(slash + 1, absolute.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (!target.empty()) target.pop_back();
    } else {
      target.emplace_back(name);
    }
  }
  std::size_t common = 0;
  while (common + 1 < at.size() && common < target.size() && at[common] == target[common]) ++common;
  std::string text;
  for (std::size_t i = common + 1; i < at.size(); ++i) text += "../";
  text += join({target.begin() + static_cast<std::ptrdiff_t>(common), target.end()});
  while (text.ends_with('/')) text.pop_back();
  return text.empty() ? "." : text;
}

bool name_fits(const std::string& pattern, const std::string& name) {
  return pattern == "*" || pattern == name;
}

/// Whether the first `count` names of both agree.
bool agree(const Path& pattern, const Path& path, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!name_fits(pattern[i], path[i])) return false;
  }
  return true;
}

base::UniqueFd open_folder(int parent, const std::string& name) {
  return base::UniqueFd(
      ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// Removes whatever `name` is, and all below it; never follows a link.
Status remove_tree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM)
    return base::system_error(fmt::format("removing {}", shown(name)), errno);
  // The path of an open folder cannot be exchanged on the way.
  std::error_code error;
  std::filesystem::remove_all(fmt::format("/proc/self/fd/{}/{}", parent, name), error);
  if (error) return base::system_error(fmt::format("removing {}", shown(name)), error.value());
  return {};
}

class Unpacker {
 public:
  Unpacker(int root, const UnpackOptions& options) : root_(root), options_(options) {
    for (const std::string& folder : options.folders) {
      if (auto path = split(folder)) folders_.push_back(*std::move(path));
    }
  }

  Status apply(const base::Context& ctx, TarReader& reader,
               const std::function<void(std::uint64_t)>& report);
  const Unpacked& counts() const { return counts_; }
  const std::set<std::string>& top_names() const { return top_names_; }

 private:
  enum class Place { Outside, OnTheWay, Inside };
  Place place_of(const Path& path) const;
  Status take(const base::Context& ctx, TarReader& reader, const TarEntry& entry);
  Status take_whiteout(const Path& path);
  Status clear_lower(int parent, const std::string& name, const Path& path);
  Status clear_children(int folder, const Path& path);
  bool has_new_below(const Path& path) const;
  base::Result<base::UniqueFd> open_parent(const Path& path, bool make);
  base::Result<std::optional<base::UniqueFd>> find_parent(const Path& path);
  Status make_room(int parent, const std::string& name, bool for_folder);
  Status write_folder(int parent, const std::string& name, mode_t mode);
  Status write_file(const base::Context& ctx, TarReader& reader, int parent,
                    const std::string& name, const TarEntry& entry);
  Status write_symbolic_link(int parent, const Path& path, const TarEntry& entry);
  Status write_hard_link(int parent, const std::string& name, const TarEntry& entry);

  const int root_;
  const UnpackOptions& options_;
  std::vector<Path> folders_;
  Unpacked counts_;
  std::uint64_t entries_ = 0;
  std::set<std::string> new_;  ///< Paths written by the layer at work: its whiteouts spare them.
  std::set<std::string> top_names_;
};

Status Unpacker::apply(const base::Context& ctx, TarReader& reader,
                       const std::function<void(std::uint64_t)>& report) {
  new_.clear();
  TarEntry entry;
  while (TRY(reader.next(ctx, entry))) {
    if (++entries_ > options_.max_entries) {
      return Error(ErrorCode::Invalid,
                   fmt::format("the image holds more than {} entries", options_.max_entries));
    }
    TRY(base::with_context(take(ctx, reader, entry),
                           fmt::format("entry \"{}\"", shown(entry.path))));
    report(reader.consumed_bytes());
  }
  return {};
}

Unpacker::Place Unpacker::place_of(const Path& path) const {
  if (folders_.empty()) return path.empty() ? Place::OnTheWay : Place::Inside;
  Place place = Place::Outside;
  for (const Path& folder : folders_) {
    if (!agree(folder, path, std::min(folder.size(), path.size()))) continue;
    if (path.size() > folder.size()) return Place::Inside;
    place = Place::OnTheWay;
  }
  return place;
}

Status Unpacker::take(const base::Context& ctx, TarReader& reader, const TarEntry& entry) {
  const std::optional<Path> path = split(entry.path);
  if (!path) return Error(ErrorCode::Invalid, "its name leaves the image or is too long");
  if (path->empty()) return reader.skip(ctx);
  if (top_names_.size() < kMaxNamesInMessage) top_names_.insert(path->front());
  const std::string& name = path->back();
  if (name.starts_with(kWhiteout)) {
    TRY(reader.skip(ctx));
    return take_whiteout(*path);
  }
  const Place place = place_of(*path);
  if (place == Place::Outside) return reader.skip(ctx);
  if (place == Place::OnTheWay && entry.kind == TarEntryKind::Folder) return reader.skip(ctx);
  if (place == Place::OnTheWay) {
    // What was a folder in a lower layer is none now; no landed folder is a link.
    TRY(reader.skip(ctx));
    const auto parent = TRY(find_parent(*path));
    return parent ? remove_tree(parent->get(), name) : Status();
  }
  const base::UniqueFd parent = TRY(open_parent(*path, true));
  new_.insert(join(*path));
  switch (entry.kind) {
    case TarEntryKind::Folder:
      return write_folder(parent.get(), name, entry.mode);
    case TarEntryKind::File:
      return write_file(ctx, reader, parent.get(), name, entry);
    case TarEntryKind::SymbolicLink:
      return write_symbolic_link(parent.get(), *path, entry);
    case TarEntryKind::HardLink:
      return write_hard_link(parent.get(), name, entry);
    case TarEntryKind::Other:
      break;
  }
  return Error(ErrorCode::Invalid, "it is a device, a pipe or a socket, which are refused");
}

Status Unpacker::take_whiteout(const Path& path) {
  const std::string& name = path.back();
  const std::string hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..")
    return Error(ErrorCode::Invalid, "it is a whiteout of nothing");
  const auto parent = TRY(find_parent(path));
  if (!parent) return {};
  Path target(path.begin(), path.end() - 1);
  if (name == kOpaque) return clear_children(parent->get(), target);
  if (name.starts_with(kAufsPrefix)) return {};  // Aufs' own notes.
  target.push_back(hidden);
  return clear_lower(parent->get(), hidden, target);
}

/// Whether the layer at work wrote something below `path`.
bool Unpacker::has_new_below(const Path& path) const {
  const std::string prefix = path.empty() ? std::string() : join(path) + "/";
  const auto next = new_.lower_bound(prefix);
  return next != new_.end() && next->starts_with(prefix);
}

/// Removes what lower layers put at `path` and below it.
Status Unpacker::clear_lower(int parent, const std::string& name, const Path& path) {
  if (!has_new_below(path) && !new_.contains(join(path))) return remove_tree(parent, name);
  const base::UniqueFd folder = open_folder(parent, name);
  return folder ? clear_children(folder.get(), path) : Status();
}

Status Unpacker::clear_children(int folder, const Path& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator entry(fmt::format("/proc/self/fd/{}", folder), error),
       end;
       !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) return base::system_error("reading a folder", error.value());
  for (const std::string& name : names) {
    Path child = path;
    child.push_back(name);
    TRY(clear_lower(folder, name, child));
  }
  return {};
}

/// The folder that `path` lies in. Errors: Invalid when something on the way is no folder.
base::Result<base::UniqueFd> Unpacker::open_parent(const Path& path, bool make) {
  base::UniqueFd folder(::openat(root_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return base::system_error("opening the folder", errno);
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (make && ::mkdirat(folder.get(), path[i].c_str(), 0755) != 0 && errno != EEXIST)
      return file_error("creating a folder", errno);
    base::UniqueFd next = open_folder(folder.get(), path[i]);
    if (!next && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
      return Error(errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Invalid,
                   fmt::format("\"{}\" on its way is not a folder", shown(path[i])));
    }
    if (!next) return base::system_error("opening a folder", errno);
    folder = std::move(next);
  }
  return folder;
}

/// As `open_parent`, but nothing when there is no such folder.
base::Result<std::optional<base::UniqueFd>> Unpacker::find_parent(const Path& path) {
  auto parent = open_parent(path, false);
  if (parent) return std::optional(*std::move(parent));
  if (parent.error().code() == ErrorCode::NotFound || parent.error().code() == ErrorCode::Invalid)
    return std::optional<base::UniqueFd>();
  return parent.error();
}

/// Removes what stands where an entry is to be written; a folder stays for a folder.
Status Unpacker::make_room(int parent, const std::string& name, bool for_folder) {
  struct stat found{};
  if (::fstatat(parent, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return {};
  if (for_folder && S_ISDIR(found.st_mode)) return {};
  return remove_tree(parent, name);
}

Status Unpacker::write_folder(int parent, const std::string& name, mode_t mode) {
  TRY(make_room(parent, name, true));
  if (::mkdirat(parent, name.c_str(), kFolderOwner) != 0 && errno != EEXIST)
    return file_error("creating the folder", errno);
  const base::UniqueFd folder = open_folder(parent, name);
  if (!folder || ::fchmod(folder.get(), (mode & kPermissions) | kFolderOwner) != 0)
    return file_error("creating the folder", errno);
  return {};
}

Status Unpacker::write_file(const base::Context& ctx, TarReader& reader, int parent,
                            const std::string& name, const TarEntry& entry) {
  if (entry.size > options_.max_bytes - std::min(counts_.bytes, options_.max_bytes)) {
    return Error(ErrorCode::Invalid, fmt::format("the image unpacks to more than {}",
                                                 format_bytes(options_.max_bytes)));
  }
  TRY(make_room(parent, name, false));
  const base::UniqueFd file(::openat(
      parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileOwner));
  if (!file) return file_error("creating the file", errno);
  TRY(reader.read(ctx, [&](std::uint64_t offset, std::string_view bytes) -> Status {
    if (offset > entry.size || bytes.size() > entry.size - offset)
      return Error(ErrorCode::Invalid, "it holds more bytes than its header says");
    while (!bytes.empty()) {
      const auto written =
          ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return file_error("writing the file", errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
    return {};
  }));
  if (::ftruncate(file.get(), static_cast<off_t>(entry.size)) != 0 ||
      ::fchmod(file.get(), (entry.mode & kPermissions) | kFileOwner) != 0)
    return file_error("writing the file", errno);
  ++counts_.files;
  counts_.bytes += entry.size;
  return {};
}

Status Unpacker::write_symbolic_link(int parent, const Path& path, const TarEntry& entry) {
  if (entry.link.empty() || entry.link.size() > kMaxEntryPathLength || entry.link.contains('\0'))
    return Error(ErrorCode::Invalid, "its link target is empty or too long");
  TRY(make_room(parent, path.back(), false));
  const std::string target =
      entry.link.front() == '/' ? relative_target(path, entry.link) : entry.link;
  if (::symlinkat(target.c_str(), parent, path.back().c_str()) != 0)
    return file_error("creating the link", errno);
  return {};
}

Status Unpacker::write_hard_link(int parent, const std::string& name, const TarEntry& entry) {
  const auto wrong = [&](std::string_view why) {
    return Error(ErrorCode::Invalid,
                 fmt::format("the hard link's target \"{}\" {}", shown(entry.link), why));
  };
  const std::optional<Path> target = split(entry.link);
  if (!target || target->empty()) return wrong("leaves the image");
  if (place_of(*target) != Place::Inside) return wrong("is not in the folder that is unpacked");
  const auto folder = TRY(find_parent(*target));
  struct stat found{};
  if (!folder || ::fstatat(folder->get(), target->back().c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return wrong("is not there");
  if (!S_ISREG(found.st_mode)) return wrong("is not a plain file");
  struct stat here{};
  if (::fstatat(parent, name.c_str(), &here, AT_SYMLINK_NOFOLLOW) == 0 &&
      here.st_ino == found.st_ino && here.st_dev == found.st_dev)
    return {};
  TRY(make_room(parent, name, false));
  if (::linkat(folder->get(), target->back().c_str(), parent, name.c_str(), 0) != 0)
    return file_error("creating the hard link", errno);
  return {};
}

/// Folders below `folder` that the rest of the pattern names and that hold something, by name.
void find_folders(const std::filesystem::path& folder, const Path& pattern, std::size_t at,
                  std::vector<std::filesystem::path>& found) {
  std::error_code error;
  if (std::filesystem::is_symlink(folder, error) || !std::filesystem::is_directory(folder, error))
    return;
  if (at == pattern.size()) {
    if (!std::filesystem::is_empty(folder, error) && !error) found.push_back(folder);
    return;
  }
  if (pattern[at] != "*") return find_folders(folder / pattern[at], pattern, at + 1, found);
  std::vector<std::filesystem::path> children;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    children.push_back(entry->path());
  std::sort(children.begin(), children.end());
  for (const auto& child : children) find_folders(child, pattern, at + 1, found);
}

base::Result<std::filesystem::path> choose_folder(const std::filesystem::path& root,
                                                  const UnpackOptions& options,
                                                  const std::set<std::string>& top_names) {
  if (options.folders.empty()) return root;
  for (const std::string& folder : options.folders) {
    std::vector<std::filesystem::path> found;
    if (const auto pattern = split(folder)) find_folders(root, *pattern, 0, found);
    if (!found.empty()) return found.front();
  }
  std::string there;
  for (const std::string& name : top_names) there += (there.empty() ? "/" : ", /") + shown(name);
  return Error(ErrorCode::NotFound,
               fmt::format("the image holds no files in /{}; at its top are: {}",
                           fmt::join(options.folders, " or /"), there.empty() ? "none" : there));
}

/// Whether `relative` leads to something within `folder`, or to nothing at all.
bool stays_within(int folder, const std::string& relative) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const base::UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, folder, relative.c_str(), &how, sizeof(how))));
  return fd || errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
}

/// Refuses links that lead out of the landed folder: whoever reads it would follow them.
Status check_links(const std::filesystem::path& folder) {
  const base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return base::system_error(fmt::format("opening {}", folder.string()), errno);
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (!entry->is_symlink(error) || error) continue;
    const std::string relative = entry->path().lexically_relative(folder).string();
    if (!stays_within(fd.get(), relative)) {
      return Error(ErrorCode::Invalid,
                   fmt::format("entry \"{}\": the symbolic link leads out of the unpacked folder",
                               shown(relative)));
    }
  }
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  return {};
}

}  // namespace

base::Result<Unpacked> unpack_layers(const base::Context& ctx, const std::vector<LayerFile>& layers,
                                     const std::filesystem::path& root,
                                     const UnpackOptions& options,
                                     const ProgressCallback& progress) {
  const base::UniqueFd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return base::system_error(fmt::format("opening {}", root.string()), errno);
  std::uint64_t total = 0;
  for (const LayerFile& layer : layers) {
    std::error_code error;
    const auto size = std::filesystem::file_size(layer.path, error);
    total += error ? 0 : size;
  }
  Unpacker unpacker(fd.get(), options);
  std::uint64_t before = 0;
  for (const LayerFile& layer : layers) {
    const std::string where = fmt::format("layer {}", layer.name);
    TarReader reader = TRY(base::with_context(TarReader::open(layer.path), where));
    TRY(base::with_context(unpacker.apply(ctx, reader,
                                          [&](std::uint64_t done) {
                                            if (progress)
                                              progress({std::min(before + done, total), total});
                                          }),
                           where));
    std::error_code error;
    const auto size = std::filesystem::file_size(layer.path, error);
    before += error ? 0 : size;
  }
  if (progress) progress({total, total});
  Unpacked unpacked = unpacker.counts();
  unpacked.folder = TRY(choose_folder(root, options, unpacker.top_names()));
  TRY(check_links(unpacked.folder));
  return unpacked;
}

}  // namespace oci
