#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace kaito {

/// The folder in which one `kaito up` keeps everything, and the names in it.
class DataDir {
 public:
  /// `chosen`, or the user's default: /var/lib/kaito for root, else $XDG_DATA_HOME/kaito or
  /// ~/.local/share/kaito.
  static DataDir choose(const std::string& chosen);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path kubeconfig() const { return root_ / "kubeconfig"; }
  std::filesystem::path lock() const { return root_ / "lock"; }
  std::filesystem::path run_file() const { return root_ / "run.json"; }
  std::filesystem::path log() const { return root_ / "kaito.log"; }
  std::filesystem::path tls() const { return root_ / "tls"; }
  std::filesystem::path store() const { return root_ / "cluster.db"; }
  std::filesystem::path registry() const { return root_ / "registry"; }
  std::filesystem::path models() const { return root_ / "models"; }
  std::filesystem::path node() const { return root_ / "node"; }

 private:
  explicit DataDir(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path root_;
};

/// What a running `kaito up` says of itself.
struct RunInfo {
  pid_t pid = 0;
  std::string server;     ///< URL of the API server.
  std::string registry;   ///< `127.0.0.1:5001`
  std::string started_at;
};

base::Status write_run_info(const DataDir& dir, const RunInfo& info);
/// Nothing when no `kaito up` holds the lock of `dir`.
base::Result<std::optional<RunInfo>> read_run_info(const DataDir& dir);

/// Takes the folder for this process until the descriptor closes (also by kill -9).
/// Errors: AlreadyExists, naming the process that has it; Forbidden.
base::Result<base::UniqueFd> take_lock(const DataDir& dir);

}  // namespace kaito
