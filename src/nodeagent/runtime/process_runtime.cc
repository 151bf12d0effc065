#include "nodeagent/runtime/process_runtime.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/guarded.h"
#include "base/queue.h"
#include "base/random.h"
#include "nodeagent/limits.h"
#include "nodeagent/runtime/control.h"

namespace nodeagent {
namespace {

using ExecWaiter = std::shared_ptr<base::Queue<ExecResult>>;

/// The agent's side of one shim.
struct Container {
  std::shared_ptr<const base::UniqueFd> control;  ///< Null once the shim has closed its side.
  base::UniqueFd pidfd;
  pid_t pid = -1;
  /// Without a process namespace: the program's process group, to be ended when its shim was
  /// killed.
  pid_t group = -1;
  ContainerRuntime::ExitHandler on_exit;
  std::map<std::int64_t, ExecWaiter> execs;
  ContainerExit exit{.exit_code = 128 + SIGKILL, .signal = SIGKILL, .lost = true};
};

struct Table {
  std::map<std::string, Container> containers;
  std::int64_t next_exec = 1;
};

/// Null when the container has ended. Messages are sent outside the lock.
std::shared_ptr<const base::UniqueFd> control_of(const Table& table, const std::string& id) {
  const auto found = table.containers.find(id);
  return found == table.containers.end() ? nullptr : found->second.control;
}

base::Result<base::UniqueFd> spec_file(const ContainerSpec& spec) {
  base::UniqueFd file(::memfd_create("container-spec", MFD_CLOEXEC));
  if (!file) return base::system_error("making the container's specification", errno);
  TRY(base::write_all(file.get(), json::dump(json::encode(spec))));
  return file;
}

/// Starts the shim in a session of its own, with nothing but its two descriptors and stderr.
base::Result<pid_t> spawn_shim(const std::vector<std::string>& command, int control, int spec) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, 2, 1);
  ::posix_spawn_file_actions_adddup2(&actions, control, kControlFd);
  ::posix_spawn_file_actions_adddup2(&actions, spec, kSpecFd);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t all;
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<char*, 1> environment = {nullptr};
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return base::system_error("starting the pod shim " + command.front(), failed);
  return pid;
}

/// A descriptor above those the shim wants, so that dup2 in the child never clobbers its source.
base::Result<base::UniqueFd> raise_fd(base::UniqueFd fd) {
  base::UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 16));
  if (!high) return base::system_error("duplicating a descriptor", errno);
  return high;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// Waits for the shim's first message and returns it. Errors: the shim's own, Timeout, Cancelled.
base::Result<ControlEvent> await_started(const base::Context& ctx, int control) {
  const base::Context bounded = ctx.with_timeout(kStartTimeout);
  constexpr int kSliceMs = 50;
  while (true) {
    TRY(bounded.check());
    pollfd fd{control, POLLIN, 0};
    if (::poll(&fd, 1, kSliceMs) <= 0) continue;
    const std::string text = TRY(receive_text(control));
    if (text.empty())
      return base::Error(base::ErrorCode::Internal,
                         "the pod shim ended before the container started");
    const ControlEvent event = TRY(parse_message<ControlEvent>(text));
    if (event.type == "started") return event;
    return base::Error(base::ErrorCode::Invalid, event.message);
  }
}

}  // namespace

struct ProcessRuntime::State {
  State(std::vector<std::string> shim_command, base::Logger logger)
      : shim(std::move(shim_command)),
        log(std::move(logger)),
        wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  std::vector<std::string> shim;
  base::Logger log;
  base::UniqueFd wake;
  base::Guarded<Table> table;
  std::jthread thread;

  void notify() const {
    const std::uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof one);
  }
  void run(const std::stop_token& stop);
  void step();
  void on_control(const std::string& id);
  void on_event(const std::string& id, const ControlEvent& event);
  void on_ended(const std::string& id);
};

void ProcessRuntime::State::run(const std::stop_token& stop) {
  const std::stop_callback waker(stop, [this] { notify(); });
  while (!stop.stop_requested()) step();
}

void ProcessRuntime::State::step() {
  std::vector<pollfd> fds = {{wake.get(), POLLIN, 0}};
  std::vector<std::string> ids;
  table.with([&](Table& t) {
    for (const auto& [id, container] : t.containers) {
      ids.push_back(id);
      fds.push_back({container.control ? container.control->get() : -1, POLLIN, 0});
      fds.push_back({container.pidfd.get(), POLLIN, 0});
    }
  });
  constexpr int kLongestMs = 10'000;
  if (::poll(fds.data(), fds.size(), kLongestMs) <= 0) return;
  std::uint64_t count = 0;
  (void)!::read(wake.get(), &count, sizeof count);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (fds[1 + 2 * i].revents) on_control(ids[i]);
    if (fds[2 + 2 * i].revents) on_ended(ids[i]);
  }
}

void ProcessRuntime::State::on_control(const std::string& id) {
  // Only this thread removes containers, so the descriptor stays open here.
  const auto control = table.with([&](Table& t) { return t.containers.at(id).control; });
  if (!control) return;
  const base::Result<std::string> text = receive_text(control->get());
  if (!text || text->empty()) {
    // The supervisor ended; the process descriptor tells when all of it is gone.
    table.with([&](Table& t) { t.containers.at(id).control.reset(); });
    return;
  }
  const base::Result<ControlEvent> event = parse_message<ControlEvent>(*text);
  if (event) on_event(id, *event);
}

void ProcessRuntime::State::on_event(const std::string& id, const ControlEvent& event) {
  if (event.type == "exited") {
    table.with([&](Table& t) {
      t.containers.at(id).exit = {
          .exit_code = event.exit_code, .signal = event.signal, .lost = false};
    });
  }
  if (event.type == "exec") {
    const ExecWaiter waiter = table.with([&](Table& t) {
      auto node = t.containers.at(id).execs.extract(event.id);
      return node ? node.mapped() : nullptr;
    });
    if (waiter && !waiter->try_push({event.exit_code, event.timed_out, event.message})) return;
  }
}

void ProcessRuntime::State::on_ended(const std::string& id) {
  // What was sent before the end is still in the socket, and then its end: whoever held it dies
  // with the shim.
  while (const auto control = table.with([&](Table& t) { return t.containers.at(id).control; })) {
    pollfd fd{control->get(), POLLIN, 0};
    if (::poll(&fd, 1, static_cast<int>(kReapTimeout.count())) <= 0) break;
    on_control(id);
  }
  Container ended =
      table.with([&](Table& t) { return std::move(t.containers.extract(id).mapped()); });
  reap(ended.pid);
  if (ended.exit.lost && ended.group > 1) ::kill(-ended.group, SIGKILL);
  for (const auto& [exec, waiter] : ended.execs) waiter->close();
  if (ended.on_exit) ended.on_exit(ended.exit);
}

ProcessRuntime::ProcessRuntime(std::vector<std::string> shim, base::Logger log)
    : state_(std::make_unique<State>(std::move(shim), std::move(log))) {
  state_->thread =
      std::jthread([state = state_.get()](const std::stop_token& stop) { state->run(stop); });
}

ProcessRuntime::~ProcessRuntime() {
  state_->thread.request_stop();
  state_->thread.join();
  std::map<std::string, Container> left;
  state_->table.with([&](Table& t) { left.swap(t.containers); });
  for (const auto& [id, container] : left) {
    // Whoever does not listen any more has ended.
    if (container.control && !send_message(container.control->get(),
                                           ControlRequest{.type = "signal", .signal = SIGTERM}))
      continue;
  }
  const auto until = std::chrono::steady_clock::now() + kShutdownGrace;
  for (const auto& [id, container] : left) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd fd{container.pidfd.get(), POLLIN, 0};
    ::poll(&fd, 1, static_cast<int>(std::max<long long>(wait.count(), 0)));
  }
  for (auto& [id, container] : left) container.control.reset();
  for (auto& [id, container] : left) {
    pollfd fd{container.pidfd.get(), POLLIN, 0};
    if (::poll(&fd, 1, static_cast<int>(kReapTimeout.count())) <= 0) ::kill(container.pid, SIGKILL);
    reap(container.pid);
  }
}

base::Result<std::string> ProcessRuntime::start(const base::Context& ctx, const ContainerSpec& spec,
                                                ExitHandler on_exit) {
  const std::size_t running = state_->table.with([](Table& t) { return t.containers.size(); });
  if (running >= kMaxContainersRunning) {
    return base::Error(base::ErrorCode::Unavailable,
                       fmt::format("{} containers run already", running));
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return base::system_error("making a control socket", errno);
  }
  Container container;
  container.control = std::make_shared<const base::UniqueFd>(pair[0]);
  base::UniqueFd theirs = TRY(raise_fd(base::UniqueFd(pair[1])));
  base::UniqueFd low_spec_fd = TRY(spec_file(spec));
  const base::UniqueFd spec_fd = TRY(raise_fd(std::move(low_spec_fd)));
  container.pid = TRY(spawn_shim(state_->shim, theirs.get(), spec_fd.get()));
  container.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, container.pid, 0)));
  theirs.reset();
  const base::Result<ControlEvent> started =
      container.pidfd
          ? await_started(ctx, container.control->get())
          : base::Result<ControlEvent>(base::system_error("watching the pod shim", errno));
  if (!started) {
    container.control.reset();
    ::kill(container.pid, SIGKILL);
    reap(container.pid);
    return started.error();
  }
  if (!spec.isolated) container.group = static_cast<pid_t>(started->pid);
  container.on_exit = std::move(on_exit);
  const std::string id = spec.id.empty() ? base::random_uuid() : spec.id;
  state_->table.with([&](Table& t) { t.containers.emplace(id, std::move(container)); });
  state_->notify();
  return id;
}

base::Status ProcessRuntime::signal(const std::string& id, int signal) {
  const auto control = state_->table.with([&](Table& t) { return control_of(t, id); });
  if (!control) return base::Error(base::ErrorCode::NotFound, "the container has ended");
  return send_message(control->get(), ControlRequest{.type = "signal", .signal = signal});
}

base::Result<ExecResult> ProcessRuntime::exec(const base::Context& ctx, const std::string& id,
                                              const std::vector<std::string>& argv,
                                              std::chrono::milliseconds timeout) {
  const auto waiter = std::make_shared<base::Queue<ExecResult>>(1);
  std::int64_t number = 0;
  const auto control = state_->table.with([&](Table& t) {
    auto found = control_of(t, id);
    if (found) t.containers.at(id).execs.emplace(number = t.next_exec++, waiter);
    return found;
  });
  if (!control) return base::Error(base::ErrorCode::NotFound, "the container has ended");
  TRY(send_message(
      control->get(),
      ControlRequest{.type = "exec", .id = number, .timeout_ms = timeout.count(), .argv = argv}));
  constexpr std::chrono::milliseconds kSlack{2'000};
  const auto limit = std::min<std::chrono::nanoseconds>(ctx.remaining(), timeout + kSlack);
  std::optional<ExecResult> result = waiter->pop_for(ctx.stop(), limit);
  if (result) return *std::move(result);
  if (ctx.stopped()) return base::Error(base::ErrorCode::Cancelled, "the command was given up");
  if (ctx.done()) return base::Error(base::ErrorCode::Timeout, "the command took too long");
  return base::Error(base::ErrorCode::NotFound, "the container ended during the command");
}

base::Result<IsolationChoice> detect_isolation(const base::Context& ctx, ContainerRuntime& runtime,
                                               const std::string& scratch_dir) {
  ContainerSpec spec;
  spec.argv = {"/bin/true"};
  spec.root_dir = scratch_dir + "/root";
  spec.tmp_dir = scratch_dir + "/tmp";
  spec.log_dir = scratch_dir;
  spec.log_name = "log";
  for (const std::string& directory : {spec.root_dir, spec.tmp_dir}) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return base::system_error("creating " + directory, error.value());
  }
  spec.mounts = {{spec.tmp_dir, "/workspace/probe", true}};
  const base::Result<std::string> isolated = runtime.start(ctx, spec, nullptr);
  if (isolated) return IsolationChoice{};
  spec.isolated = false;
  const base::Result<std::string> plain = runtime.start(ctx, spec, nullptr);
  if (!plain) return base::Error(plain.error()).context("starting a first process");
  return IsolationChoice{Isolation::ProcessTree, isolated.error().message()};
}

}  // namespace nodeagent
