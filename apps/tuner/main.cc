// kaito-tuner: from data and a base model to an adapter, one run a process.

#include <fcntl.h>
#include <fmt/format.h>

#include <memory>
#include <stop_token>
#include <string>

#include "apps/tuner/options.h"
#include "apps/tuner/plot.h"
#include "apps/tuner/status.h"
#include "apps/tuner/tune.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/file.h"
#include "base/signals.h"

namespace tuner {
namespace {

constexpr const char* kTerminationLog = "/dev/termination-log";

/// The last line, for the log, and for Kubernetes to show in the pod's status.
int end(const Outcome& outcome) {
  if (outcome.code != ExitCode::Done) {
    fmt::print(stderr, "error: {}\n", outcome.message);
    if (const base::UniqueFd log(::open(kTerminationLog, O_WRONLY | O_TRUNC | O_CLOEXEC)); log)
      (void)base::write_all(log.get(), outcome.message + "\n");
  }
  return static_cast<int>(outcome.code);
}

int run(const Options& options) {
  std::stop_source stop;
  const base::SignalWatcher signals([&](int) { stop.request_stop(); });
  const base::Logger log(std::make_shared<base::LogSink>(base::LogSink::Options{
                             .level = options.log_level, .format = options.log_format}),
                         "tuner");
  if (options.command == Command::Plot) {
    const auto drawn = draw_loss_curve(options.plot_log, options.plot_output);
    if (!drawn) return end({ExitCode::Data, drawn.error().message()});
    fmt::print("{}\n", drawn->string());
    return 0;
  }
  const base::RealClock clock;
  Outcome outcome;
  {
    Status status(options);
    if (options.serve_status && options.command == Command::Train) {
      if (const auto served = status.serve(options, log); !served)
        return end({ExitCode::Configuration, served.error().message()});
    }
    outcome = tune(base::Context(stop.get_token(), log), options, clock, status);
  }
  return end(outcome);
}

}  // namespace
}  // namespace tuner

int main(int argc, char** argv) {
  const tuner::ParsedOptions parsed = tuner::parse_options(argc, argv);
  return parsed.options ? tuner::run(*parsed.options) : parsed.exit_status;
}
