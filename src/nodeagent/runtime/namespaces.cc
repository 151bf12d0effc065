#include "nodeagent/runtime/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <string>

#include "base/file.h"

namespace nodeagent {
namespace {

constexpr int kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS;

/// The default set of containerd and Docker.
constexpr std::array kKeptCapabilities = {
    CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,     CAP_MKNOD,
    CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,           CAP_SETFCAP,    CAP_SETPCAP,
    CAP_KILL,    CAP_SYS_CHROOT,   CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE};

base::Status write_map(const char* path, const std::string& text) {
  const base::UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (!file) return base::system_error(std::string("opening ") + path, errno);
  // One write: the kernel takes a map whole or not at all.
  if (::write(file.get(), text.data(), text.size()) < 0)
    return base::system_error(std::string("writing ") + path, errno);
  return {};
}

/// No path that the kernel follows has more parts.
constexpr int kMaxPathDepth = 2048;

/// Makes the root of this mount namespace the root of a process that began in a chroot. A working
/// directory outside of the root climbs over it; who may chroot may do that.
base::Status leave_chroot(const std::string& directory) {
  if (::chdir("/") != 0 || ::chroot(directory.c_str()) != 0) {
    return base::system_error("leaving the chroot", errno);
  }
  for (int depth = 0; depth < kMaxPathDepth; ++depth) {
    if (::chdir("..") != 0) return base::system_error("leaving the chroot", errno);
  }
  if (::chroot(".") != 0) return base::system_error("leaving the chroot", errno);
  return {};
}

/// Goes back into the directory, now as a mount of its own, with all that is mounted below it.
base::Status enter_as_mount(const base::UniqueFd& directory) {
  std::error_code error;
  if (::fchdir(directory.get()) != 0) return base::system_error("returning to the chroot", errno);
  const std::string path = std::filesystem::current_path(error).string();
  if (error) return base::system_error("finding the chroot", error.value());
  if (::mount(path.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return base::system_error("making the chroot a mount point", errno);
  }
  // The path leads to the new mount; the descriptor still to what lies under it.
  if (::chdir(path.c_str()) != 0 || ::chroot(".") != 0 || ::chdir("/") != 0) {
    return base::system_error("returning to the chroot", errno);
  }
  return {};
}

}  // namespace

base::Status make_mounts_private(const std::string& directory) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) return {};
  if (errno != EINVAL) return base::system_error("making mounts private", errno);
  const base::UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::system_error("opening the chroot", errno);
  TRY(leave_chroot(directory));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return base::system_error("making mounts private outside of the chroot", errno);
  }
  return enter_as_mount(root);
}

base::Status unshare_namespaces() {
  if (::unshare(kNamespaces) == 0) return {};
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | kNamespaces) != 0) {
    const int reason = errno;
    return base::Error(
        base::ErrorCode::Forbidden,
        fmt::format("namespaces are not allowed here ({}): run as root, or allow user namespaces "
                    "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0)",
                    base::system_error("unshare", reason).message()));
  }
  TRY(write_map("/proc/self/setgroups", "deny"));
  TRY(write_map("/proc/self/uid_map", fmt::format("{} {} 1", uid, uid)));
  return write_map("/proc/self/gid_map", fmt::format("{} {} 1", gid, gid));
}

void drop_capabilities() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (std::ranges::find(kKeptCapabilities, capability) == kKeptCapabilities.end()) {
      ::prctl(PR_CAPBSET_DROP, capability);
    }
  }
}

void kill_descendants() {
  const std::string children_file = fmt::format("/proc/self/task/{}/children", ::getpid());
  while (true) {
    const base::Result<std::string> children = base::read_file(children_file);
    std::istringstream pids(children.value_or(""));
    for (pid_t pid = 0; pids >> pid;) ::kill(pid, SIGKILL);
    // Orphans of the killed become children of this subreaper; it is done when none is left.
    if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

}  // namespace nodeagent
