#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "json/codec.h"

namespace nodeagent {

/// One path of the host that a container sees at `target`.
struct Mount {
  std::string source;
  std::string target;
  bool read_only = false;
};
template <class V>
void describe(V& v, Mount& m) {
  using json::Presence;
  v.field("source", m.source, Presence::Required, "Path on the host.");
  v.field("target", m.target, Presence::Required, "Path in the container.");
  v.field("readOnly", m.read_only, Presence::Optional, "Forbids writing.");
}

/// How far a container is kept apart from the machine.
enum class Isolation {
  Namespaces,  ///< Own mount, process and host name spaces: volumes appear at their mount paths.
  ProcessTree  ///< No privilege for namespaces: paths are rewritten, processes are tracked.
};

/// Everything the shim needs to run one container once. Travels as JSON over a file descriptor.
struct ContainerSpec {
  std::string id;  ///< Unique name of this run; the runtime makes one up when it is "".
  std::string hostname;
  std::vector<std::string> argv;  ///< Never empty; argv[0] is a path or found in PATH of `env`.
  std::vector<std::string> env;   ///< `NAME=value`
  std::string working_dir = "/";
  bool isolated = true;  ///< Isolation::Namespaces.
  /// An empty directory that becomes the mount point of the container's root.
  std::string root_dir;
  std::string tmp_dir;   ///< Appears as /tmp.
  std::string hide_dir;  ///< Appears empty: the agent's own data.
  bool read_only_root = true;
  std::vector<Mount> mounts;
  std::string log_dir;
  std::string log_name;
  std::int64_t log_max_bytes = 0;
};
template <class V>
void describe(V& v, ContainerSpec& s) {
  using json::Presence;
  v.field("id", s.id, Presence::Optional, "Name of the run.");
  v.field("hostname", s.hostname, Presence::Optional, "Host name.");
  v.field("argv", s.argv, Presence::Required, "Program and arguments.");
  v.field("env", s.env, Presence::Optional, "Environment.");
  v.field("workingDir", s.working_dir, Presence::Optional, "Working directory.");
  v.field("isolated", s.isolated, Presence::Optional, "With namespaces.");
  v.field("rootDir", s.root_dir, Presence::Optional, "Mount point of the root.");
  v.field("tmpDir", s.tmp_dir, Presence::Optional, "Directory shown as /tmp.");
  v.field("hideDir", s.hide_dir, Presence::Optional, "Directory shown empty.");
  v.field("readOnlyRoot", s.read_only_root, Presence::Optional, "Host files cannot be written.");
  v.field("mounts", s.mounts, Presence::Optional, "Volumes.");
  v.field("logDir", s.log_dir, Presence::Required, "Directory of the log.");
  v.field("logName", s.log_name, Presence::Required, "File of the log.");
  v.field("logMaxBytes", s.log_max_bytes, Presence::Optional, "Size at which the log rotates.");
}

}  // namespace nodeagent
