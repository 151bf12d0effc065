#include "apps/kaito/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "json/codec.h"

namespace kaito {

using base::Error;
using base::ErrorCode;

template <class V>
void describe(V& v, RunInfo& info) {
  using json::Presence;
  v.field("pid", info.pid, Presence::Required, "Process that runs the control plane.");
  v.field("server", info.server, Presence::Required, "URL of the API server.");
  v.field("registry", info.registry, Presence::Required, "Host and port of the registry.");
  v.field("startedAt", info.started_at, Presence::Required, "When it started.");
}

DataDir DataDir::choose(const std::string& chosen) {
  if (!chosen.empty()) return DataDir(std::filesystem::absolute(chosen));
  if (::geteuid() == 0) return DataDir("/var/lib/kaito");
  if (const char* data_home = std::getenv("XDG_DATA_HOME"); data_home && *data_home == '/') {
    return DataDir(std::filesystem::path(data_home) / "kaito");
  }
  const char* home = std::getenv("HOME");
  return DataDir(std::filesystem::path(home ? home : "/tmp") / ".local/share/kaito");
}

base::Status write_run_info(const DataDir& dir, const RunInfo& info) {
  return base::write_file_atomic(dir.run_file(), json::dump(json::encode(info)) + "\n", 0600);
}

base::Result<std::optional<RunInfo>> read_run_info(const DataDir& dir) {
  const base::UniqueFd lock(::open(dir.lock().c_str(), O_RDWR | O_CLOEXEC));
  if (!lock) {
    if (errno == ENOENT) return std::optional<RunInfo>();
    return base::system_error(fmt::format("opening {}", dir.lock().string()), errno);
  }
  // A lock that can be taken belongs to nobody: whatever the run file says is from the past.
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return std::optional<RunInfo>();
  const std::string text = TRY(base::read_file(dir.run_file()));
  const json::Value value = TRY(json::parse(text));
  return std::optional<RunInfo>(TRY(json::decode<RunInfo>(value)));
}

base::Result<base::UniqueFd> take_lock(const DataDir& dir) {
  std::error_code failed;
  std::filesystem::create_directories(dir.root(), failed);
  if (failed) {
    return base::system_error(fmt::format("creating {} (choose another with --data-dir)", dir.root().string()),
                              failed.value());
  }
  ::chmod(dir.root().c_str(), 0700);
  base::UniqueFd lock(::open(dir.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return base::system_error(fmt::format("opening {}", dir.lock().string()), errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    std::string who = "another process";
    if (auto info = read_run_info(dir); info && *info) who = fmt::format("process {}", (*info)->pid);
    return Error(ErrorCode::AlreadyExists,
                 fmt::format("kaito is already running in {} ({}); see it with `kaito status`, stop it with "
                             "`kaito down`, or choose another --data-dir",
                             dir.root().string(), who));
  }
  return lock;
}

}  // namespace kaito
