#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nodeagent/runtime/container_spec.h"

namespace nodeagent {

/// The directories of the host whose entries must be bound one by one, because a mount point that
/// the host lacks has to appear among them; outermost first. `/` is never among them.
/// `exists` and `is_directory` look at the host.
struct HostView {
  virtual ~HostView() = default;
  virtual bool exists(const std::string& path) const = 0;
};
std::vector<std::string> directories_to_expand(const std::vector<Mount>& mounts,
                                               const HostView& host);

/// Assembles the container's root and makes it the root of this process. Must run in a mount
/// namespace of its own with the right to mount; afterwards the host's tree is out of reach except
/// for what was bound: its files (read-only unless asked otherwise), a private /tmp, /dev with the
/// usual devices, and the volumes.
base::Status enter_root(const ContainerSpec& spec);

}  // namespace nodeagent
