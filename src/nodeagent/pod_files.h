#pragma once

#include <string>

#include "base/result.h"

namespace nodeagent {

/// Where a pod's files lie below the agent's data directory. Container names are DNS labels, so
/// names with an underscore are free.
class PodFiles {
 public:
  explicit PodFiles(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  const std::string& data_dir() const { return data_dir_; }
  std::string pods_dir() const { return data_dir_ + "/pods"; }
  std::string pod_dir(const std::string& uid) const { return pods_dir() + "/" + uid; }
  std::string volumes_dir(const std::string& uid) const { return pod_dir(uid) + "/_volumes"; }
  std::string container_dir(const std::string& uid, const std::string& container) const {
    return pod_dir(uid) + "/" + container;
  }
  static std::string log_name(int restart) { return std::to_string(restart) + ".log"; }

 private:
  std::string data_dir_;
};

/// The message a container left: the file's content, or the end of its log when it failed without.
std::string termination_message(const std::string& message_file, const std::string& log_file,
                                bool failed);

/// Removes the logs of runs before `restart`, but for the latest kKeptAttempts - 1.
void remove_old_logs(const std::string& container_dir, int restart);

}  // namespace nodeagent
