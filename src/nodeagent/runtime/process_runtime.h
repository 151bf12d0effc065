#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "nodeagent/runtime/container_spec.h"

namespace nodeagent {

/// How a container's program ended.
struct ContainerExit {
  int exit_code = 0;  ///< 128 + signal when a signal ended it.
  int signal = 0;
  bool lost = false;  ///< Its supervisor was killed, so the real end is unknown.
};

struct ExecResult {
  int exit_code = 0;
  bool timed_out = false;
  std::string output;
};

/// Starts containers and tells how they end. Safe from many threads.
class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;
  /// Called once, on a thread of the runtime, when nothing of the container is left; must not
  /// block.
  using ExitHandler = std::function<void(const ContainerExit&)>;

  /// Returns the container's id once its program runs. Errors: why it could not be started.
  virtual base::Result<std::string> start(const base::Context& ctx, const ContainerSpec& spec,
                                          ExitHandler on_exit) = 0;
  /// Sends `signal` to the container's first process. Errors: NotFound when it has ended.
  virtual base::Status signal(const std::string& id, int signal) = 0;
  /// Runs a command in the container's namespaces. Errors: NotFound, Timeout, Cancelled.
  virtual base::Result<ExecResult> exec(const base::Context& ctx, const std::string& id,
                                        const std::vector<std::string>& argv,
                                        std::chrono::milliseconds timeout) = 0;
};

/// Containers as process trees under a shim each (shim.h). Ending this object, or this process by
/// whatever means, ends every container.
class ProcessRuntime final : public ContainerRuntime {
 public:
  /// `shim` is the command that runs `shim_main`, usually the path of kaito-pod-shim.
  ProcessRuntime(std::vector<std::string> shim, base::Logger log);
  ~ProcessRuntime() override;

  base::Result<std::string> start(const base::Context& ctx, const ContainerSpec& spec,
                                  ExitHandler on_exit) override;
  base::Status signal(const std::string& id, int signal) override;
  base::Result<ExecResult> exec(const base::Context& ctx, const std::string& id,
                                const std::vector<std::string>& argv,
                                std::chrono::milliseconds timeout) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct IsolationChoice {
  Isolation isolation = Isolation::Namespaces;
  std::string reason;  ///< Why it is not Namespaces; "" when it is.
};
/// Runs a trivial container in `scratch_dir` to learn what this machine allows. Errors: when not
/// even a plain process can be started.
base::Result<IsolationChoice> detect_isolation(const base::Context& ctx, ContainerRuntime& runtime,
                                               const std::string& scratch_dir);

}  // namespace nodeagent
