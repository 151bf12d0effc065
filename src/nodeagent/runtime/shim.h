#pragma once

namespace nodeagent {

/// The program between agent and container, one process tree per container run. Reads a
/// ContainerSpec from kSpecFd, talks over kControlFd (control.h), keeps the log, and ends when the
/// container ends, when told to, or when the agent is gone: by any of these, everything the
/// container started is gone too (its process namespace ends with the shim; without namespaces the
/// shim is the subreaper and kills what it inherits).
/// Single-threaded; takes no arguments.
int shim_main();

}  // namespace nodeagent
