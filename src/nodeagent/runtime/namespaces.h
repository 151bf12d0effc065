#pragma once

#include "base/result.h"

namespace nodeagent {

/// Gives this process mount, host-name and (for its children) process namespaces of its own, with
/// root's right or inside a user namespace that maps only the caller.
/// Errors: Forbidden with what the machine would have to allow.
base::Status unshare_namespaces();

/// Reduces what a container run by root may do to the set container runtimes give by default.
void drop_capabilities();

/// Ends and reaps every child of this subreaper, and what they leave behind, until none is left.
void kill_descendants();

}  // namespace nodeagent
