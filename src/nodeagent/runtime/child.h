#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace nodeagent {

struct ChildProcess {
  pid_t pid = -1;
  base::UniqueFd stdout_pipe;  ///< Read end, non-blocking.
  base::UniqueFd stderr_pipe;  ///< Read end, non-blocking.
};

struct ChildOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string working_dir;
  bool drop_capabilities = false;
  bool die_with_parent = false;
};

/// Forks and executes; returns once the program runs. For single-threaded processes only.
/// Errors: why the program could not be started (not found, not executable, no such directory).
base::Result<ChildProcess> start_child(const ChildOptions& options);

/// 128 + signal, or the exit status, of a `waitpid` status.
int exit_code_of(int wait_status);

}  // namespace nodeagent
