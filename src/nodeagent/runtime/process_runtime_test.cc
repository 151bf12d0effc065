#include "nodeagent/runtime/process_runtime.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/queue.h"
#include "base/random.h"
#include "nodeagent/runtime/root_fs.h"

namespace nodeagent {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class ProcessRuntimeTest : public testing::TestWithParam<Isolation> {
 protected:
  ProcessRuntimeTest() {
    for (const char* name : {"root", "tmp", "log", "volume"})
      fs::create_directories(directory_ / name);
  }
  ~ProcessRuntimeTest() override { fs::remove_all(directory_); }

  ContainerSpec spec(std::vector<std::string> argv) const {
    ContainerSpec s;
    s.hostname = "pod-0";
    s.argv = std::move(argv);
    s.env = {"PATH=/usr/bin:/bin", "GREETING=hello world"};
    s.isolated = GetParam() == Isolation::Namespaces;
    s.root_dir = directory_ / "root";
    s.tmp_dir = directory_ / "tmp";
    s.log_dir = directory_ / "log";
    s.log_name = "0.log";
    return s;
  }
  ContainerSpec shell(const std::string& script) const { return spec({"/bin/sh", "-c", script}); }

  ContainerRuntime::ExitHandler on_exit() {
    return [this](const ContainerExit& exit) { ASSERT_TRUE(exits_.try_push(exit)); };
  }
  ContainerExit wait_exit() {
    auto exit = exits_.pop_for({}, 10s);
    EXPECT_TRUE(exit.has_value());
    return exit.value_or(ContainerExit{});
  }
  ContainerExit run(const ContainerSpec& s) {
    const auto id = runtime_.start(ctx_, s, on_exit());
    EXPECT_TRUE(id) << id.error().message();
    return id ? wait_exit() : ContainerExit{};
  }
  std::string log() const {
    return base::read_file(directory_ / "log" / "0.log").value_or("(no log)");
  }
  /// The log without its time stamps and tags.
  std::string words() const {
    std::istringstream lines(log());
    std::string all;
    for (std::string line; std::getline(lines, line);)
      all += line.substr(line.find(" F ") + 3) + "\n";
    return all;
  }
  bool wait_until(const std::function<bool()>& condition) const {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  base::Context ctx_;
  fs::path directory_ = fs::temp_directory_path() / ("runtime-" + base::random_name_suffix(8));
  base::Queue<ContainerExit> exits_{8};
  ProcessRuntime runtime_{{KAITO_POD_SHIM}, base::Logger()};
};

INSTANTIATE_TEST_SUITE_P(All, ProcessRuntimeTest,
                         testing::Values(Isolation::Namespaces, Isolation::ProcessTree),
                         [](const auto& param) {
                           return param.param == Isolation::Namespaces ? "namespaces" : "processes";
                         });

TEST_P(ProcessRuntimeTest, ReportsExitCodeAndKeepsOutputWithTimes) {
  EXPECT_EQ(run(shell("echo \"$GREETING\"; echo oops >&2; printf unfinished; exit 7")).exit_code,
            7);
  EXPECT_THAT(log(), HasSubstr(" stdout F hello world\n"));
  EXPECT_THAT(log(), HasSubstr(" stderr F oops\n"));
  EXPECT_THAT(log(), HasSubstr(" stdout F unfinished\n"));
  EXPECT_THAT(log(),
              testing::MatchesRegex("(....-..-..T..:..:..[.].........Z std[a-z]+ F [^\n]*\n)+"));
}

TEST_P(ProcessRuntimeTest, SaysWhyAProgramCannotStart) {
  const auto id = runtime_.start(ctx_, spec({"/no/such/program"}), on_exit());
  ASSERT_FALSE(id);
  EXPECT_THAT(id.error().message(), HasSubstr("executing /no/such/program: No such file"));
}

TEST_P(ProcessRuntimeTest, SignalReachesTheProgramWhichMayEndGracefully) {
  const auto id = runtime_.start(
      ctx_, shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"),
      on_exit());
  ASSERT_TRUE(id) << id.error().message();
  ASSERT_TRUE(wait_until([&] { return log().find("up") != std::string::npos; }));
  ASSERT_TRUE(runtime_.signal(*id, SIGTERM));
  EXPECT_EQ(wait_exit().exit_code, 3);
  EXPECT_THAT(words(), HasSubstr("bye"));
  EXPECT_EQ(runtime_.signal(*id, SIGTERM).error().code(), base::ErrorCode::NotFound);
}

TEST_P(ProcessRuntimeTest, ReportsTheSignalThatEndedTheProgram) {
  const auto id = runtime_.start(ctx_, shell("exec sleep 60"), on_exit());
  ASSERT_TRUE(id);
  ASSERT_TRUE(runtime_.signal(*id, SIGKILL));
  const ContainerExit exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_FALSE(exit.lost);
}

TEST_P(ProcessRuntimeTest, ExecRunsBesideTheProgramAndIsBounded) {
  const auto id = runtime_.start(ctx_, shell("exec sleep 60"), on_exit());
  ASSERT_TRUE(id);
  const auto good = runtime_.exec(ctx_, *id, {"/bin/sh", "-c", "echo $GREETING; exit 4"}, 5s);
  ASSERT_TRUE(good) << good.error().message();
  EXPECT_EQ(good->exit_code, 4);
  EXPECT_EQ(good->output, "hello world\n");
  const auto slow = runtime_.exec(ctx_, *id, {"/bin/sleep", "60"}, 100ms);
  ASSERT_TRUE(slow);
  EXPECT_TRUE(slow->timed_out);
  const auto missing = runtime_.exec(ctx_, *id, {"/no/such"}, 5s);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->exit_code, 126);
}

bool alive(pid_t pid) { return ::kill(pid, 0) == 0; }

/// Finds processes whose command line holds `mark`, whatever namespace they are in.
std::vector<pid_t> find_processes(const std::string& mark) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string command = base::read_file(entry.path() / "cmdline").value_or("");
    if (command.find(mark) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

TEST_P(ProcessRuntimeTest, NothingOutlivesTheProgram) {
  const std::string mark = "3600." + std::to_string(::getpid()) + "1";
  EXPECT_EQ(run(shell("setsid sleep " + mark + " & (sleep " + mark + " &) ; sleep 0.1; exit 0"))
                .exit_code,
            0);
  EXPECT_THAT(find_processes(mark), ElementsAre());
}

TEST_P(ProcessRuntimeTest, NothingOutlivesAKilledAgent) {
  const std::string mark = "3600." + std::to_string(::getpid()) + "2";
  const std::string document =
      json::dump(json::encode(shell("setsid sleep " + mark + " & exec sleep " + mark)));
  std::vector<std::string> words = {KAITO_TEST_AGENT, KAITO_POD_SHIM, document};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t agent = -1;
  ASSERT_EQ(::posix_spawn(&agent, argv[0], nullptr, nullptr, argv.data(), ::environ), 0);
  // Its own command line holds the mark as well.
  ASSERT_TRUE(wait_until([&] { return find_processes(mark).size() >= 3; }));
  ::kill(agent, SIGKILL);
  ::waitpid(agent, nullptr, 0);
  EXPECT_TRUE(wait_until([&] { return find_processes(mark).empty(); }));
}

TEST_P(ProcessRuntimeTest, DestructionEndsEveryContainer) {
  const std::string mark = "3600." + std::to_string(::getpid()) + "3";
  {
    ProcessRuntime runtime({KAITO_POD_SHIM}, base::Logger());
    ASSERT_TRUE(runtime.start(ctx_, shell("trap '' TERM; sleep " + mark), nullptr));
    ASSERT_TRUE(wait_until([&] { return !find_processes(mark).empty(); }));
  }
  EXPECT_THAT(find_processes(mark), ElementsAre());
}

pid_t parent_of(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("PPid:")) return std::stoi(line.substr(5));
  }
  return 0;
}

TEST_P(ProcessRuntimeTest, ALostSupervisorIsReportedAndLeavesNothing) {
  // With namespaces the supervisors are two: the namespace's first process, and the shim outside.
  const int supervisors = GetParam() == Isolation::Namespaces ? 2 : 1;
  for (int generation = 1; generation <= supervisors; ++generation) {
    SCOPED_TRACE(generation);
    const std::string mark =
        "3600." + std::to_string(::getpid()) + "4" + std::to_string(generation);
    ASSERT_TRUE(runtime_.start(ctx_, shell("exec sleep " + mark), on_exit()));
    ASSERT_TRUE(wait_until([&] { return find_processes(mark).size() == 1; }));
    const pid_t main = find_processes(mark).front();
    pid_t victim = main;
    for (int i = 0; i < generation; ++i) victim = parent_of(victim);
    ASSERT_GT(victim, 1);
    ::kill(victim, SIGKILL);
    EXPECT_TRUE(wait_exit().lost);
    EXPECT_TRUE(wait_until([&] { return !alive(main); }));
  }
}

TEST_P(ProcessRuntimeTest, LogRotatesAtItsLimit) {
  ContainerSpec s = shell("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done");
  s.log_max_bytes = 8000;
  EXPECT_EQ(run(s).exit_code, 0);
  EXPECT_LE(fs::file_size(directory_ / "log" / "0.log"), 8000U + 16384U);
  EXPECT_TRUE(fs::exists(directory_ / "log" / "0.log.1"));
  EXPECT_THAT(words(), HasSubstr("line 399\n"));
}

TEST_P(ProcessRuntimeTest, DetectsWhatTheMachineAllows) {
  const auto choice = detect_isolation(ctx_, runtime_, directory_ / "scratch");
  ASSERT_TRUE(choice) << choice.error().message();
  EXPECT_EQ(choice->isolation == Isolation::Namespaces, choice->reason.empty());
}

class RootTest : public ProcessRuntimeTest {};
INSTANTIATE_TEST_SUITE_P(Namespaces, RootTest, testing::Values(Isolation::Namespaces));

TEST_P(RootTest, VolumesAppearAtPathsThatTheHostLacks) {
  std::ofstream(directory_ / "volume" / "file") << "content\n";
  std::ofstream(directory_ / "message").flush();
  ContainerSpec s = shell(
      "cat /workspace/weights/file /mnt/config/file /etc/kaito-test/file; echo words > "
      "/dev/termination-log; echo new > /workspace/weights/new; touch /mnt/config/x; touch /etc/x; "
      "touch /usr/x; echo private > /tmp/p; hostname; test -s /etc/passwd && echo etc; "
      "ls -A " +
      directory_.string() + "; echo $$");
  s.mounts = {{directory_ / "volume", "/workspace/weights", false},
              {directory_ / "volume", "/mnt/config", true},
              {directory_ / "volume", "/etc/kaito-test/", true},
              {directory_ / "message", "/dev/termination-log", false}};
  EXPECT_EQ(run(s).exit_code, 0) << log();
  EXPECT_THAT(words(), HasSubstr("content\ncontent\ncontent\n"));
  EXPECT_THAT(words(), HasSubstr("pod-0\netc\n"));
  EXPECT_THAT(words(), HasSubstr("'/mnt/config/x': Read-only file system"));
  EXPECT_THAT(words(), HasSubstr("'/etc/x': Read-only file system"));
  EXPECT_THAT(words(), HasSubstr("'/usr/x': Read-only file system"));
  EXPECT_EQ(base::read_file(directory_ / "message").value_or(""), "words\n");
  EXPECT_EQ(base::read_file(directory_ / "volume" / "new").value_or(""), "new\n");
  EXPECT_EQ(base::read_file(directory_ / "tmp" / "p").value_or(""), "private\n");
  EXPECT_FALSE(fs::exists("/workspace/weights"));
  EXPECT_FALSE(fs::exists("/mnt/config"));
  EXPECT_FALSE(fs::exists("/etc/kaito-test"));
}

TEST_P(RootTest, NestedVolumesAndMountsOverExistingDirectories) {
  fs::create_directories(directory_ / "inner");
  std::ofstream(directory_ / "inner" / "deep") << "deep\n";
  ContainerSpec s = shell("cat /data/inner/deep /opt/deep; ls /dev/shm; cat /proc/self/comm");
  s.mounts = {{directory_ / "inner", "/data/inner", true},
              {directory_ / "volume", "/data", false},
              {directory_ / "inner", "/opt", true}};
  EXPECT_EQ(run(s).exit_code, 0) << log();
  EXPECT_EQ(words(), "deep\ndeep\ncat\n");
}

struct FakeHost final : HostView {
  std::vector<std::string> paths;
  bool exists(const std::string& path) const override {
    return std::ranges::find(paths, path) != paths.end();
  }
};

/// Runs tests of this program again in a chroot that is no mount point: a directory with the host's
/// entries bound into it.
TEST(Namespaces, WorkInAChroot) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may chroot";
  const fs::path root = fs::temp_directory_path() / ("chroot-" + base::random_name_suffix(8));
  fs::create_directories(root);
  const std::string script = fmt::format(
      "unshare -m sh -ec '"
      "for entry in /*; do"
      "  if [ -L $entry ]; then cp -P $entry {0}$entry;"
      "  elif [ -d $entry ]; then mkdir {0}$entry; mount --rbind $entry {0}$entry; fi;"
      "done;"
      "exec chroot {0} {1} --gtest_brief=1 --gtest_filter={2}' >{0}.log 2>&1",
      root.string(), fs::read_symlink("/proc/self/exe").string(),
      "All/ProcessRuntimeTest.*/namespaces:Namespaces/RootTest.*");
  EXPECT_EQ(std::system(script.c_str()), 0) << base::read_file(root.string() + ".log").value_or("");
  EXPECT_THAT(base::read_file(root.string() + ".log").value_or(""), HasSubstr("[  PASSED  ]"));
  // Not remove_all: were a mount left, it would empty the host.
  for (const auto& entry : fs::directory_iterator(root)) fs::remove(entry);
  fs::remove(root);
  fs::remove(root.string() + ".log");
}

TEST(DirectoriesToExpand, AreTheDeepestExistingOnesThatLackTheMountPoint) {
  FakeHost host;
  host.paths = {"/mnt", "/etc", "/opt", "/opt/a"};
  const std::vector<Mount> mounts = {
      {"s", "/mnt/config/x"}, {"s", "/workspace/weights"},   {"s", "/opt"},
      {"s", "/opt/a/b"},      {"s", "/dev/termination-log"}, {"s", "/etc/k/l"}};
  EXPECT_THAT(directories_to_expand(mounts, host), ElementsAre("/etc", "/mnt"));
}

}  // namespace
}  // namespace nodeagent
