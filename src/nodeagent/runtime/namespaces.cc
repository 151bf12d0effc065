#include "nodeagent/runtime/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
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

}  // namespace

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
