#include "apps/kaito/up_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <stop_token>

#include "apps/kaito/cluster.h"
#include "base/clock.h"
#include "base/signals.h"

namespace kaito {
namespace {

using base::Error;
using base::ErrorCode;
using base::Status;

constexpr auto kStartTimeout = std::chrono::seconds(60);

struct UpOptions {
  std::uint16_t port = 6443;
  std::uint16_t registry_port = 5001;
  std::string bin_dir;
  std::string log_level = "info";
  std::string log_format = "text";
  std::string node_provisioner = "nodeclaim";
  bool detach = false;
  bool control_plane_only = false;
};

base::LogLevel parse_level(const std::string& name) {
  if (name == "debug") return base::LogLevel::Debug;
  if (name == "warn") return base::LogLevel::Warn;
  if (name == "error") return base::LogLevel::Error;
  return base::LogLevel::Info;
}

/// The folder of this program.
std::string own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().string();
}

std::string summary(const DataDir& dir, const Cluster& cluster, std::chrono::steady_clock::duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  std::string text = fmt::format("control plane   {}   (ready in {:.2f} s)\nregistry        {}\nstate           {}\n", cluster.server_url(), seconds, cluster.registry_domain(), dir.root().string());
  if (!cluster.note().empty()) text += fmt::format("note            {}\n", cluster.note());
  text += fmt::format("\nexport KUBECONFIG={}\n", dir.kubeconfig().string());
  return text;
}

/// Runs the cluster until a signal. `announce` gets the summary once it is up.
Status run(const DataDir& dir, const UpOptions& options, const std::function<void(const std::string&)>& announce) {
  const auto begun = std::chrono::steady_clock::now();
  std::stop_source stop;
  const base::SignalWatcher signals([&](int) { stop.request_stop(); });
  base::LogSink::Options sink;
  sink.level = parse_level(options.log_level);
  sink.format = options.log_format == "json" ? base::LogFormat::Json : base::LogFormat::Text;
  const base::Logger log(std::make_shared<base::LogSink>(sink), "kaito");
  const base::UniqueFd lock = TRY(take_lock(dir));
  const base::Context ctx(stop.get_token(), log);
  Cluster::Options cluster_options{.dir = dir,
                                   .port = options.port,
                                   .registry_port = options.registry_port,
                                   .bin_dir = options.bin_dir.empty() ? own_folder() : options.bin_dir,
                                   .node_provisioner = options.node_provisioner,
                                   .control_plane_only = options.control_plane_only};
  const auto cluster = TRY(Cluster::start(ctx, std::move(cluster_options)));
  TRY(write_run_info(dir, {::getpid(), cluster->server_url(), cluster->registry_domain(), base::format_rfc3339(std::chrono::system_clock::now())}));
  announce(summary(dir, *cluster, std::chrono::steady_clock::now() - begun));
  while (ctx.sleep(std::chrono::hours(1))) {
  }
  log.info("stopping");
  return {};
}

int run_in_foreground(const DataDir& dir, const UpOptions& options) {
  const Status ended = run(dir, options, [](const std::string& text) {
    fmt::print("{}\nCtrl-C stops everything.\n", text);
    std::fflush(stdout);
  });
  return ended || ended.error().code() == ErrorCode::Cancelled ? 0 : fail(ended.error());
}

/// The child's side of a detached start: its own session, output in the log, one message through `report`.
[[noreturn]] void run_detached(const DataDir& dir, const UpOptions& options, int report) {
  ::setsid();
  const base::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const base::UniqueFd log(::open(dir.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (null) ::dup2(null.get(), 0);
  if (log) {
    ::dup2(log.get(), 1);
    ::dup2(log.get(), 2);
  }
  const Status ended = run(dir, options, [&](const std::string& text) {
    static_cast<void>(base::write_all(report, "+" + text));
    ::close(report);
  });
  if (!ended) {
    static_cast<void>(base::write_all(report, "-" + ended.error().message()));
    fmt::print(stderr, "error: {}\n", ended.error().message());
  }
  ::_exit(ended ? 0 : 1);
}

/// What the child reports, or why it reported nothing.
base::Result<std::string> wait_for_report(int fd, pid_t child) {
  std::string report;
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  for (;;) {
    pollfd readable{fd, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return Error(ErrorCode::Timeout, fmt::format("process {} did not start within {} s", child, kStartTimeout.count()));
    if (::poll(&readable, 1, static_cast<int>(left)) <= 0) continue;
    char buffer[4096];
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got > 0) {
      report.append(buffer, static_cast<std::size_t>(got));
      continue;
    }
    if (report.starts_with('+')) return report.substr(1);
    if (report.starts_with('-')) return Error(ErrorCode::Unavailable, report.substr(1));
    return Error(ErrorCode::Internal, "it ended without a word");
  }
}

int start_detached(const DataDir& dir, const UpOptions& options) {
  if (const auto running = read_run_info(dir); running && *running) {
    fmt::print("kaito runs already (process {})\n\nexport KUBECONFIG={}\n", (*running)->pid, dir.kubeconfig().string());
    return 0;
  }
  std::error_code failed;
  std::filesystem::create_directories(dir.root(), failed);
  if (failed) return fail(base::system_error(fmt::format("creating {} (choose another with --data-dir)", dir.root().string()), failed.value()));
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return fail(base::system_error("starting", errno));
  const pid_t child = ::fork();
  if (child < 0) return fail(base::system_error("starting", errno));
  if (child == 0) {
    ::close(pipe[0]);
    run_detached(dir, options, pipe[1]);
  }
  ::close(pipe[1]);
  const base::UniqueFd reports(pipe[0]);
  const auto report = wait_for_report(reports.get(), child);
  if (!report) return fail(base::Error(report.error()).context(fmt::format("starting (log: {})", dir.log().string())));
  fmt::print("{}", *report);
  return 0;
}

}  // namespace

void add_up_command(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("up", "Run the whole system on this machine");
  command->footer(
      "Starts a Kubernetes API server, an OCI registry, a node that runs pods as processes, and Kaito's operator and\n"
      "provisioner, all on loopback. The state is kept; `kaito down` or Ctrl-C stops everything.");
  add_data_dir_option(*command, session);
  auto options = std::make_shared<UpOptions>();
  command->add_flag("-d,--detach", options->detach, "Run in the background; return once everything is ready");
  command->add_option("--port", options->port, "Port of the API server on 127.0.0.1; 0 takes any free one")->capture_default_str();
  command->add_option("--registry-port", options->registry_port, "Port of the registry on 127.0.0.1; 0 takes any free one")->capture_default_str();
  command->add_option("--node-provisioner", options->node_provisioner, "Where nodes come from: nodeclaim, machine or byo")
      ->check(CLI::IsMember({"nodeclaim", "machine", "byo"}))
      ->capture_default_str();
  command->add_option("--bin-dir", options->bin_dir, "Folder of kaito, kaito-server and kaito-pod-shim (default: that of this program)");
  command->add_option("--log-level", options->log_level, "debug, info, warn or error")->check(CLI::IsMember({"debug", "info", "warn", "error"}))->capture_default_str();
  command->add_option("--log-format", options->log_format, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  command->add_flag("--control-plane-only", options->control_plane_only, "API server and registry alone: no node, no operator");
  command->callback([&session, options] {
    session.run = [&session, options] { return options->detach ? start_detached(session.dir(), *options) : run_in_foreground(session.dir(), *options); };
  });
}

}  // namespace kaito
