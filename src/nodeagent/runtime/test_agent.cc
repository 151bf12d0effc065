#include <unistd.h>

#include <cstdio>
#include <string>

#include "nodeagent/runtime/process_runtime.h"

/// An agent to be killed by tests: starts the container of the JSON specification in its second
/// argument under the shim in its first, and waits.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto document = json::parse(argv[2]);
  if (!document) return 2;
  const auto spec = json::decode<nodeagent::ContainerSpec>(*document);
  if (!spec) return 2;
  nodeagent::ProcessRuntime runtime({argv[1]}, base::Logger());
  const auto id = runtime.start(base::Context(), *spec, nullptr);
  if (!id) {
    std::fprintf(stderr, "%s\n", id.error().message().c_str());
    return 1;
  }
  while (true) ::pause();
}
