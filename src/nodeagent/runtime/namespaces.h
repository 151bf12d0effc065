#pragma once

#include <string>

#include "base/result.h"

namespace nodeagent {

/// Gives this process mount, host-name and (for its children) process namespaces of its own, with
/// root's right or inside a user namespace that maps only the caller.
/// Errors: Forbidden with what the machine would have to allow.
base::Status unshare_namespaces();

/// Cuts this mount namespace off from the host's, so that what is mounted here stays here. In a
/// chroot, whose root is not a mount point, it becomes one: the container's root is assembled and
/// entered as anywhere. `directory` is any directory below "/" but not "/".
base::Status make_mounts_private(const std::string& directory);

/// Reduces what a container run by root may do to the set container runtimes give by default.
void drop_capabilities();

/// Ends and reaps every child of this subreaper, and what they leave behind, until none is left.
void kill_descendants();

}  // namespace nodeagent
