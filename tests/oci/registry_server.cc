#include <fmt/format.h>

#include <charconv>
#include <stop_token>
#include <string_view>

#include "base/context.h"
#include "base/file.h"
#include "base/signals.h"
#include "registry/registry.h"

/// `registry_server ROOT PORT [HTPASSWD-FILE]`: the embedded registry as a program of its own, for
/// tests that kill it and for trying other tools by hand. Prints its address; ends by SIGTERM.
int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    fmt::print(stderr, "usage: registry_server ROOT PORT [HTPASSWD-FILE]\n");
    return 2;
  }
  std::stop_source stop;
  const base::SignalWatcher watcher([&](int) { stop.request_stop(); });
  registry::Registry::Options options;
  options.root = argv[1];
  const std::string_view port = argv[2];
  std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (argc == 4) {
    const auto text = base::read_file(argv[3]);
    if (!text) {
      fmt::print(stderr, "error: {}\n", text.error().message());
      return 1;
    }
    options.htpasswd = *text;
  }
  options.log = base::Logger(std::make_shared<base::LogSink>(base::LogSink::Options{}), "registry");
  const auto registry = registry::Registry::create(std::move(options));
  if (!registry) {
    fmt::print(stderr, "error: {}\n", registry.error().message());
    return 1;
  }
  fmt::print("{}\n", (*registry)->domain());
  std::fflush(stdout);
  const base::Context ctx(stop.get_token());
  while (ctx.sleep(std::chrono::hours(1))) {
  }
  return 0;
}
