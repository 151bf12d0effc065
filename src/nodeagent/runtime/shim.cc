#include "nodeagent/runtime/shim.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <list>
#include <optional>
#include <utility>

#include "base/file.h"
#include "nodeagent/limits.h"
#include "nodeagent/runtime/child.h"
#include "nodeagent/runtime/container_spec.h"
#include "nodeagent/runtime/control.h"
#include "nodeagent/runtime/log_writer.h"
#include "nodeagent/runtime/namespaces.h"
#include "nodeagent/runtime/root_fs.h"

namespace nodeagent {
namespace {

using Clock = std::chrono::steady_clock;

/// A probe or hook that runs beside the container's program.
struct RunningExec {
  std::int64_t id = 0;
  ChildProcess child;
  std::string output;
  Clock::time_point deadline;
  bool timed_out = false;
};

/// Supervises one started container until it ends.
class Supervisor {
 public:
  Supervisor(const ContainerSpec& spec, LogWriter& log, ChildProcess main, int signal_fd)
      : spec_(spec), log_(log), main_(std::move(main)), signal_fd_(signal_fd) {}

  /// Returns when the container's program has ended or the agent is gone.
  void run() {
    while (!finished_) {
      wait_for_events();
      expire_execs();
    }
    drain(main_.stdout_pipe, LogWriter::Stream::Stdout);
    drain(main_.stderr_pipe, LogWriter::Stream::Stderr);
    log_.finish();
  }

  /// The end of the program; nothing when the agent vanished first.
  const std::optional<ControlEvent>& exit_event() const { return exit_event_; }

 private:
  void wait_for_events() {
    std::vector<pollfd> fds = {{kControlFd, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
    fds.push_back({main_.stdout_pipe.get(), POLLIN, 0});
    fds.push_back({main_.stderr_pipe.get(), POLLIN, 0});
    for (const RunningExec& exec : execs_) {
      fds.push_back({exec.child.stdout_pipe.get(), POLLIN, 0});
      fds.push_back({exec.child.stderr_pipe.get(), POLLIN, 0});
    }
    if (::poll(fds.data(), fds.size(), poll_timeout_ms()) < 0 && errno != EINTR) ::abort();
    if (fds[2].revents) read_log(main_.stdout_pipe, LogWriter::Stream::Stdout);
    if (fds[3].revents) read_log(main_.stderr_pipe, LogWriter::Stream::Stderr);
    std::size_t at = 4;
    for (RunningExec& exec : execs_) {
      if (fds[at++].revents) read_exec_output(exec, exec.child.stdout_pipe);
      if (fds[at++].revents) read_exec_output(exec, exec.child.stderr_pipe);
    }
    if (fds[1].revents) reap();
    if (fds[0].revents && !finished_) handle_request();
  }

  int poll_timeout_ms() const {
    auto next = Clock::time_point::max();
    for (const RunningExec& exec : execs_) {
      if (!exec.timed_out) next = std::min(next, exec.deadline);
    }
    if (next == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
  }

  void expire_execs() {
    for (RunningExec& exec : execs_) {
      if (exec.timed_out || Clock::now() < exec.deadline) continue;
      exec.timed_out = true;
      ::kill(-exec.child.pid, SIGKILL);
    }
  }

  /// Reads once; false when nothing is left for now.
  bool read_log(base::UniqueFd& pipe, LogWriter::Stream stream) {
    std::array<char, 64 << 10> buffer{};
    const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got > 0) log_.append(stream, {buffer.data(), static_cast<std::size_t>(got)});
    if (got == 0) pipe.reset();
    return got > 0;
  }

  /// What the program wrote before it ended; a descendant that goes on writing is not waited for.
  void drain(base::UniqueFd& pipe, LogWriter::Stream stream) {
    constexpr int kMostReads = 64;  // A pipe holds at most 1 MiB.
    for (int i = 0; i < kMostReads && pipe && read_log(pipe, stream); ++i) {
    }
  }

  void read_exec_output(RunningExec& exec, base::UniqueFd& pipe) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got == 0) pipe.reset();
    if (got <= 0) return;
    const std::size_t room =
        kMaxExecOutputBytes - std::min(exec.output.size(), kMaxExecOutputBytes);
    exec.output.append(buffer.data(), std::min(static_cast<std::size_t>(got), room));
  }

  void reap() {
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof info) > 0) {
    }
    int status = 0;
    while (true) {
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      if (pid == main_.pid) {
        exit_event_ = ControlEvent{.type = "exited",
                                   .exit_code = exit_code_of(status),
                                   .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
        finished_ = true;
        return;
      }
      const auto exec =
          std::ranges::find(execs_, pid, [](const RunningExec& e) { return e.child.pid; });
      if (exec != execs_.end()) finish_exec(exec, status);
    }
  }

  void finish_exec(std::list<RunningExec>::iterator exec, int status) {
    ::kill(-exec->child.pid, SIGKILL);
    read_exec_output(*exec, exec->child.stdout_pipe);
    read_exec_output(*exec, exec->child.stderr_pipe);
    answer({.type = "exec",
            .id = exec->id,
            .exit_code = exit_code_of(status),
            .timed_out = exec->timed_out,
            .message = printable(exec->output)});
    execs_.erase(exec);
  }

  void handle_request() {
    const base::Result<std::string> text = receive_text(kControlFd);
    if (!text || text->empty()) {
      finished_ = true;  // The agent is gone, and so is its container.
      return;
    }
    const base::Result<ControlRequest> request = parse_message<ControlRequest>(*text);
    if (!request) return;
    if (request->type == "signal") ::kill(main_.pid, request->signal);
    if (request->type == "kill") ::kill(main_.pid, SIGKILL);
    if (request->type == "exec") start_exec(*request);
  }

  void start_exec(const ControlRequest& request) {
    auto child = start_child({.argv = request.argv,
                              .env = spec_.env,
                              .working_dir = spec_.working_dir,
                              .drop_capabilities = spec_.isolated,
                              .die_with_parent = !spec_.isolated});
    if (!child) {
      answer(
          {.type = "exec", .id = request.id, .exit_code = 126, .message = child.error().message()});
      return;
    }
    execs_.push_back({.id = request.id,
                      .child = *std::move(child),
                      .output = {},
                      .deadline = Clock::now() + std::chrono::milliseconds(request.timeout_ms)});
  }

  static void answer(const ControlEvent& event) {
    // When the agent is gone the next poll says so.
    if (!send_message(kControlFd, event)) return;
  }

  /// JSON carries text only.
  static std::string printable(std::string bytes) {
    for (char& c : bytes) {
      if (static_cast<unsigned char>(c) >= 0x7f ||
          (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t'))
        c = '?';
    }
    return bytes;
  }

  const ContainerSpec& spec_;
  LogWriter& log_;
  ChildProcess main_;
  int signal_fd_;
  std::list<RunningExec> execs_;
  std::optional<ControlEvent> exit_event_;
  bool finished_ = false;
};

base::Result<ContainerSpec> read_spec() {
  const base::Result<std::string> text = base::read_file(fmt::format("/proc/self/fd/{}", kSpecFd));
  if (!text) return text.error();
  ::close(kSpecFd);
  return parse_message<ContainerSpec>(*text);
}

/// Blocks every signal and turns SIGCHLD into a descriptor.
base::Result<base::UniqueFd> watch_children() {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  base::UniqueFd fd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return base::system_error("making a signal descriptor", errno);
  return fd;
}

/// Runs in the process that ends the container by ending itself.
base::Status supervise(const ContainerSpec& spec) {
  LogWriter log = TRY(LogWriter::open(spec.log_dir, spec.log_name, spec.log_max_bytes));
  if (spec.isolated) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!spec.hostname.empty()) (void)!::sethostname(spec.hostname.data(), spec.hostname.size());
    TRY(enter_root(spec));
  } else {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  const base::UniqueFd signals = TRY(watch_children());
  ChildProcess main = TRY(start_child({.argv = spec.argv,
                                       .env = spec.env,
                                       .working_dir = spec.working_dir,
                                       .drop_capabilities = spec.isolated,
                                       .die_with_parent = !spec.isolated}));
  TRY(send_message(kControlFd, ControlEvent{.type = "started", .pid = main.pid}));
  Supervisor supervisor(spec, log, std::move(main), signals.get());
  supervisor.run();
  if (!spec.isolated) kill_descendants();
  if (supervisor.exit_event()) return send_message(kControlFd, *supervisor.exit_event());
  return {};
}

int finish(const base::Status& status) {
  if (status) return 0;
  const ControlEvent failed{.type = "failed", .message = status.error().message()};
  // Without an agent there is nobody left to tell.
  if (!send_message(kControlFd, failed)) return 1;
  return 1;
}

}  // namespace

int shim_main() {
  const base::Result<ContainerSpec> spec = read_spec();
  if (!spec) return finish(base::Status(spec.error()));
  if (!spec->isolated) return finish(supervise(*spec));
  const base::Status unshared = unshare_namespaces();
  if (!unshared) return finish(unshared);
  const pid_t init = ::fork();
  if (init < 0) return finish(base::system_error("starting the container's first process", errno));
  if (init == 0) ::_exit(finish(supervise(*spec)));
  ::close(kControlFd);
  int status = 0;
  while (::waitpid(init, &status, 0) < 0 && errno == EINTR) {
  }
  return exit_code_of(status);
}

}  // namespace nodeagent
