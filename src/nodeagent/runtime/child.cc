#include "nodeagent/runtime/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "nodeagent/runtime/namespaces.h"

namespace nodeagent {
namespace {

/// The kernel ends containers before the control plane when memory runs out.
constexpr const char* kOomScoreAdjust = "500";

struct Pipe {
  base::UniqueFd read;
  base::UniqueFd write;
};

base::Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return base::system_error("making a pipe", errno);
  return Pipe{base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

/// What failed between fork and exec; small enough to pass a pipe in one piece.
struct StartFailure {
  enum Step : int { WorkingDirectory, Exec } step;
  int error_number;
};

[[noreturn]] void run_child(const ChildOptions& options, int out, int err, int failure_pipe) {
  const auto fail = [failure_pipe](StartFailure::Step step) {
    const StartFailure failure{step, errno};
    (void)!::write(failure_pipe, &failure, sizeof failure);
    ::_exit(127);
  };
  ::setsid();
  if (options.die_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (options.drop_capabilities) drop_capabilities();
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  if (const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); oom >= 0) {
    (void)!::write(oom, kOomScoreAdjust, 3);
    ::close(oom);
  }
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (!options.working_dir.empty() && ::chdir(options.working_dir.c_str()) != 0) {
    fail(StartFailure::WorkingDirectory);
  }
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> environment = pointers(options.env);
  ::environ = environment.data();
  ::execvp(options.argv.front().c_str(), pointers(options.argv).data());
  fail(StartFailure::Exec);
  ::_exit(127);
}

}  // namespace

base::Result<ChildProcess> start_child(const ChildOptions& options) {
  if (options.argv.empty()) return base::Error(base::ErrorCode::Invalid, "no command to run");
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  Pipe failure_pipe = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return base::system_error("starting a process", errno);
  if (pid == 0) {
    run_child(options, out.write.get(), err.write.get(), failure_pipe.write.get());
  }
  out.write.reset();
  err.write.reset();
  failure_pipe.write.reset();
  StartFailure failure{};
  ssize_t got = 0;
  do {
    got = ::read(failure_pipe.read.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof failure)) {
    ::waitpid(pid, nullptr, 0);
    if (failure.step == StartFailure::WorkingDirectory) {
      return base::system_error("entering the working directory " + options.working_dir,
                                failure.error_number);
    }
    return base::system_error("executing " + options.argv.front(), failure.error_number);
  }
  for (const base::UniqueFd* fd : {&out.read, &err.read}) {
    ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }
  return ChildProcess{pid, std::move(out.read), std::move(err.read)};
}

int exit_code_of(int wait_status) {
  if (WIFSIGNALED(wait_status)) return 128 + WTERMSIG(wait_status);
  return WEXITSTATUS(wait_status);
}

}  // namespace nodeagent
