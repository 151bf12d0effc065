#pragma once

#include <functional>
#include <string>

#include "apiserver/pod_logs.h"
#include "nodeagent/pod_files.h"

namespace nodeagent {

/// Serves the logs that shims write. Safe from many threads.
class FileLogs final : public apiserver::PodLogs {
 public:
  struct Deps {
    PodFiles files;
    /// Whether this run of a container goes on: `follow` ends when it does not.
    std::function<bool(const std::string& uid, const std::string& container, int restart)>
        is_running;
  };
  explicit FileLogs(Deps deps) : deps_(std::move(deps)) {}

  base::Status stream(const base::Context& ctx, const apiserver::PodLogRequest& request,
                      const Sink& sink) override;

 private:
  Deps deps_;
};

}  // namespace nodeagent
