#include "nodeagent/runtime/root_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "base/file.h"
#include "nodeagent/limits.h"
#include "nodeagent/runtime/namespaces.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;

/// What a container finds in /dev besides ptmx, pts, shm and the links to /proc/self/fd.
constexpr std::array kDevices = {"null", "zero", "full", "random", "urandom", "tty"};
/// Accelerators of the host, by the beginning of their names.
constexpr std::array kDevicePrefixes = {"nvidia", "dri", "kfd", "infiniband", "dxg"};
/// Top-level entries that are made anew instead of being bound.
constexpr std::array kOwnEntries = {"proc", "dev", "tmp", "lost+found"};

class RealHost final : public HostView {
 public:
  bool exists(const std::string& path) const override {
    struct stat info{};
    return ::lstat(path.c_str(), &info) == 0;
  }
};

/// `path` below `directory` or equal to it.
bool is_within(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || directory == "/" || path[directory.size()] == '/');
}

bool below_own_entry(std::string_view path) {
  return is_within(path, "/proc") || is_within(path, "/dev") || is_within(path, "/tmp");
}

base::Status bind_mount(const std::string& source, const std::string& target) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return base::system_error(fmt::format("mounting {} at {}", source, target), errno);
  }
  return {};
}

base::Status mount_tmpfs(const std::string& target, const char* options) {
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
    return base::system_error("mounting a tmpfs at " + target, errno);
  }
  return {};
}

base::Status make_read_only(const std::string& target) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(AT_FDCWD, target.c_str(), AT_RECURSIVE, &attributes, sizeof attributes) !=
      0) {
    return base::system_error("making " + target + " read-only", errno);
  }
  return {};
}

base::Status make_file(const std::string& path) {
  base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return base::system_error("creating mount point " + path, errno);
  return {};
}

base::Status make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return base::system_error("creating mount point " + path, error.value());
  return {};
}

/// Shows one entry of a host directory at `target`. What vanished or may not be seen is left out.
base::Status bind_entry(const std::string& source, const std::string& target) {
  struct stat info{};
  if (::lstat(source.c_str(), &info) != 0) return {};
  if (S_ISLNK(info.st_mode)) {
    std::array<char, PATH_MAX> link{};
    const ssize_t length = ::readlink(source.c_str(), link.data(), link.size() - 1);
    if (length > 0 && ::symlink(link.data(), target.c_str()) != 0 && errno != EEXIST) {
      return base::system_error("linking " + target, errno);
    }
    return {};
  }
  if (S_ISDIR(info.st_mode)) {
    if (::mkdir(target.c_str(), 0755) != 0 && errno != EEXIST) {
      return base::system_error("creating mount point " + target, errno);
    }
  } else {
    TRY(make_file(target));
  }
  const base::Status bound = bind_mount(source, target);
  if (!bound && bound.error().code() == base::ErrorCode::Internal) return bound;
  return {};
}

base::Result<std::vector<std::string>> entries_of(const std::string& directory) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
  if (!stream) return base::system_error("listing " + directory, errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() == kMaxExpandedEntries) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("{} holds more than {} entries: mount the volume elsewhere",
                                     directory, kMaxExpandedEntries));
    }
    names.emplace_back(name);
  }
  return names;
}

base::Status populate(const std::string& host_directory, const std::string& target, bool is_top) {
  const std::vector<std::string> names = TRY(entries_of(host_directory));
  for (const std::string& name : names) {
    if (is_top && std::ranges::find(kOwnEntries, name) != kOwnEntries.end()) continue;
    TRY(bind_entry((is_top ? "/" : host_directory + "/") + name, target + "/" + name));
  }
  return {};
}

/// Covers `host_directory` in the new root with a tmpfs that shows the same entries.
base::Status expand(const std::string& root, const std::string& host_directory) {
  TRY(mount_tmpfs(root + host_directory, "mode=755"));
  return populate(host_directory, root + host_directory, false);
}

base::Status make_mount_point(const std::string& root, const Mount& mount) {
  const std::string target = root + mount.target;
  std::error_code error;
  const bool source_is_directory = fs::is_directory(mount.source, error);
  if (error) return base::system_error("reading volume source " + mount.source, error.value());
  if (source_is_directory) return make_directories(target);
  TRY(make_directories(fs::path(target).parent_path().string()));
  if (fs::exists(fs::symlink_status(target, error))) return {};
  return make_file(target);
}

base::Status mount_dev(const std::string& root) {
  const std::string dev = root + "/dev";
  TRY(mount_tmpfs(dev, "mode=755"));
  for (const char* name : kDevices) TRY(bind_entry(std::string("/dev/") + name, dev + "/" + name));
  const std::vector<std::string> names = TRY(entries_of("/dev"));
  for (const std::string& name : names) {
    const bool wanted = std::ranges::any_of(
        kDevicePrefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (wanted) TRY(bind_entry("/dev/" + name, dev + "/" + name));
  }
  TRY(bind_entry("/dev/pts", dev + "/pts"));
  constexpr std::array<std::array<const char*, 2>, 5> kLinks = {{{"pts/ptmx", "ptmx"},
                                                                 {"/proc/self/fd", "fd"},
                                                                 {"/proc/self/fd/0", "stdin"},
                                                                 {"/proc/self/fd/1", "stdout"},
                                                                 {"/proc/self/fd/2", "stderr"}}};
  for (const auto& [to, name] : kLinks) {
    if (::symlink(to, (dev + "/" + name).c_str()) != 0)
      return base::system_error("linking " + dev + "/" + name, errno);
  }
  TRY(make_directories(dev + "/shm"));
  return mount_tmpfs(dev + "/shm", "mode=1777");
}

base::Status mount_proc(const std::string& root) {
  const std::string target = root + "/proc";
  if (::mount("proc", target.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) {
    return {};
  }
  // A masked /proc (nested containers) forbids a fresh one; the host's works, it only shows more.
  return bind_mount("/proc", target);
}

/// Mounts in an order in which no mount covers an earlier one.
std::vector<Mount> sorted_mounts(const std::vector<Mount>& mounts) {
  std::vector<Mount> sorted = mounts;
  for (Mount& mount : sorted) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(mount.target, error);
    mount.target = (error ? fs::path(mount.target).lexically_normal() : real).string();
    while (mount.target.size() > 1 && mount.target.ends_with('/')) mount.target.pop_back();
  }
  std::ranges::sort(sorted, {}, [](const Mount& m) {
    return std::pair(std::ranges::count(m.target, '/'), m.target);
  });
  return sorted;
}

base::Status switch_root(const std::string& root) {
  if (::chdir(root.c_str()) != 0) return base::system_error("entering " + root, errno);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return base::system_error("pivot_root", errno);
  if (::umount2(".", MNT_DETACH) != 0) return base::system_error("leaving the host's root", errno);
  if (::chdir("/") != 0) return base::system_error("entering the new root", errno);
  return {};
}

/// Everything of the host that stays visible, and the mount points of what comes on top.
base::Status assemble_host_part(const ContainerSpec& spec, const std::vector<Mount>& mounts) {
  const std::string& root = spec.root_dir;
  TRY(mount_tmpfs(root, "mode=755"));
  // Else binding the directory that holds the new root would bind the new root into itself.
  if (::mount(nullptr, root.c_str(), nullptr, MS_UNBINDABLE, nullptr) != 0) {
    return base::system_error("preparing the root", errno);
  }
  TRY(populate("/", root, true));
  for (const std::string& directory : directories_to_expand(mounts, RealHost())) {
    TRY(expand(root, directory));
  }
  for (const Mount& mount : mounts) {
    if (!below_own_entry(mount.target)) TRY(make_mount_point(root, mount));
  }
  for (const char* name : {"/proc", "/dev", "/tmp"}) TRY(make_directories(root + name));
  if (spec.read_only_root) TRY(make_read_only(root));
  return {};
}

}  // namespace

std::vector<std::string> directories_to_expand(const std::vector<Mount>& mounts,
                                               const HostView& host) {
  std::set<std::string> found;
  for (const Mount& mount : mounts) {
    if (below_own_entry(mount.target) || host.exists(mount.target)) continue;
    const bool inside_other = std::ranges::any_of(mounts, [&](const Mount& other) {
      return other.target != mount.target && is_within(mount.target, other.target);
    });
    if (inside_other) continue;
    std::string directory = mount.target;
    do {
      directory.resize(std::max<std::size_t>(directory.rfind('/'), 0));
    } while (!directory.empty() && !host.exists(directory));
    if (!directory.empty()) found.insert(directory);
  }
  return {found.begin(), found.end()};
}

base::Status enter_root(const ContainerSpec& spec) {
  const std::string& root = spec.root_dir;
  TRY(make_mounts_private(root));
  const std::vector<Mount> mounts = sorted_mounts(spec.mounts);
  TRY(assemble_host_part(spec, mounts));
  TRY(mount_proc(root));
  TRY(mount_dev(root));
  TRY(bind_mount(spec.tmp_dir, root + "/tmp"));
  if (!spec.hide_dir.empty() && fs::is_directory(root + spec.hide_dir)) {
    TRY(mount_tmpfs(root + spec.hide_dir, "mode=755"));
  }
  for (const Mount& mount : mounts) {
    TRY(make_mount_point(root, mount));
    TRY(bind_mount(mount.source, root + mount.target));
    if (mount.read_only) TRY(make_read_only(root + mount.target));
  }
  return switch_root(root);
}

}  // namespace nodeagent
