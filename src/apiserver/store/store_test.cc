#include "apiserver/store/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"

namespace apiserver {
namespace {

using namespace std::chrono_literals;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/apiserver-store-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Store> open(std::size_t history = 10'000, std::size_t queue = 16) {
    auto store = Store::open(
        {.path = folder_ / "db", .history_events = history, .watcher_queue_events = queue});
    EXPECT_TRUE(store) << store.error().message();
    return store ? *std::move(store) : nullptr;
  }
  static json::Value object(std::string_view name, int n = 0) {
    return json::Object{{"metadata", {{"name", json::String(name)}, {"uid", "u"}}}, {"n", n}};
  }

  std::filesystem::path folder_;
};

TEST_F(StoreTest, KeepsObjectsAndRevisionOverRestart) {
  Revision last = 0;
  {
    auto store = open();
    ASSERT_TRUE(store->create("/pods", {"a", "x"}, object("x")));
    auto second = store->create("/pods", {"a", "y"}, object("y"));
    ASSERT_TRUE(second);
    auto removed = store->remove("/pods", {"a", "y"}, (*second)->revision);
    ASSERT_TRUE(removed);
    last = (*removed)->revision;
  }
  auto store = open();
  EXPECT_EQ(store->revision(), last);
  EXPECT_TRUE(store->get("/pods", {"a", "x"}));
  EXPECT_FALSE(store->get("/pods", {"a", "y"}));
  EXPECT_EQ((*store->create("/pods", {"a", "z"}, object("z")))->revision, last + 1);
}

TEST_F(StoreTest, RefusesASecondProcessButNotASecondOpenAfterClose) {
  auto store = open();
  const pid_t child = fork();
  if (child == 0) {
    auto second = Store::open({.path = folder_ / "db"});
    _exit(!second && second.error().code() == base::ErrorCode::AlreadyExists ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  store.reset();
  EXPECT_TRUE(open());
}

TEST_F(StoreTest, RefusesStaleAndDuplicateWrites) {
  auto store = open();
  auto first = store->create("/pods", {"a", "x"}, object("x"));
  ASSERT_TRUE(first);
  EXPECT_EQ(store->create("/pods", {"a", "x"}, object("x")).error().code(),
            base::ErrorCode::AlreadyExists);
  auto second = store->update("/pods", {"a", "x"}, (*first)->revision, object("x", 2));
  ASSERT_TRUE(second);
  EXPECT_EQ(store->update("/pods", {"a", "x"}, (*first)->revision, object("x", 3)).error().code(),
            base::ErrorCode::Conflict);
  EXPECT_EQ(store->remove("/pods", {"a", "x"}, (*first)->revision).error().code(),
            base::ErrorCode::Conflict);
  EXPECT_EQ(store->update("/pods", {"a", "no"}, 1, object("no")).error().code(),
            base::ErrorCode::NotFound);
  EXPECT_EQ(json::find_string((*second)->value, "metadata.resourceVersion"),
            std::to_string((*second)->revision));
}

TEST_F(StoreTest, ListsByNamespaceInOrder) {
  auto store = open();
  for (const char* name : {"c", "a", "b"})
    ASSERT_TRUE(store->create("/pods", {"n1", name}, object(name)));
  ASSERT_TRUE(store->create("/pods", {"n0", "z"}, object("z")));
  auto some = store->list("/pods", "n1");
  ASSERT_EQ(some.objects.size(), 3U);
  EXPECT_EQ(json::find_string(some.objects[0]->value, "metadata.name"), "a");
  EXPECT_EQ(store->list("/pods", "").objects.size(), 4U);
  EXPECT_EQ(store->list("/pods", "n").objects.size(), 0U);
  EXPECT_EQ(store->resources_in("n0"), std::vector<std::string>{"/pods"});
}

TEST_F(StoreTest, WatchResumesFromARevisionAndSeesDeletions) {
  auto store = open();
  auto first = store->create("/pods", {"a", "x"}, object("x"));
  auto second = store->create("/pods", {"b", "x"}, object("x"));
  ASSERT_TRUE(first && second);
  auto watch = store->watch({"/pods", "b", ""}, (*first)->revision);
  ASSERT_TRUE(watch);
  ASSERT_TRUE(store->remove("/pods", {"b", "x"}, (*second)->revision));
  auto added = watch->watcher->try_next();
  auto deleted = watch->watcher->next({}, 1s);
  ASSERT_TRUE(added && deleted);
  EXPECT_EQ((*added)->type, ChangeType::Added);
  EXPECT_EQ((*deleted)->type, ChangeType::Deleted);
  EXPECT_EQ((*deleted)->object->revision, (*second)->revision + 1);
  EXPECT_FALSE(watch->watcher->try_next());
}

TEST_F(StoreTest, WatchFromBeforeTheHistoryIsGone) {
  auto store = open(2);
  Revision first = store->revision();
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(store->create("/pods", {"a", std::to_string(i)}, object("x")));
  EXPECT_EQ(store->watch({"/pods", "", ""}, first).error().code(), base::ErrorCode::Gone);
  EXPECT_TRUE(store->watch({"/pods", "", ""}, store->revision() - 2));
  EXPECT_TRUE(store->unchanged_since("/other", store->revision() - 1));
  EXPECT_FALSE(store->unchanged_since("/pods", store->revision() - 1));
  EXPECT_FALSE(store->unchanged_since("/other", first));
}

TEST_F(StoreTest, SlowWatcherIsCutOffAfterWhatItGot) {
  auto store = open(4, 4);
  auto watch = store->watch({"/pods", "", ""}, std::nullopt);
  ASSERT_TRUE(watch);
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(store->create("/pods", {"a", std::to_string(i)}, object("x")));
  EXPECT_TRUE(watch->watcher->overflowed());
  int seen = 0;
  while (watch->watcher->next({}, 1s)) ++seen;
  EXPECT_EQ(seen, 5);
}

TEST_F(StoreTest, HistoryIsBoundedInBytesToo) {
  auto store = Store::open({.path = folder_ / "db", .history_bytes = 300});
  ASSERT_TRUE(store);
  const Revision first = (*store)->revision();
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE((*store)->create("/pods", {"a", std::to_string(i)}, object("x")));
  EXPECT_FALSE((*store)->watch({"/pods", "", ""}, first));
  EXPECT_TRUE((*store)->watch({"/pods", "", ""}, (*store)->revision() - 1));
}

TEST_F(StoreTest, SurvivesAFullDisk) {
  const pid_t child = fork();
  if (child == 0) {
    // A limit on file sizes stands for the full disk.
    signal(SIGXFSZ, SIG_IGN);
    auto store = Store::open({.path = folder_ / "db"});
    if (!store) _exit(2);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 200'000;
    setrlimit(RLIMIT_FSIZE, &limit);
    json::Value big = object("x");
    big.get_object()["fill"] = json::String(std::string(20'000, 'f'));
    int stored = 0;
    while (stored < 100 && (*store)->create("/pods", {"a", std::to_string(stored)}, big)) ++stored;
    if (stored == 0 || stored == 100) _exit(3);
    const Revision revision = (*store)->revision();
    if ((*store)->create("/pods", {"a", "more"}, big)) _exit(4);
    if ((*store)->revision() != revision || (*store)->get("/pods", {"a", "more"})) _exit(5);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!(*store)->create("/pods", {"a", "more"}, big)) _exit(6);
    store->reset();
    auto again = Store::open({.path = folder_ / "db"});
    _exit(again && (*again)->count("/pods") == static_cast<std::size_t>(stored) + 1 ? 0 : 7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(StoreTest, LosesNothingAcknowledgedWhenKilled) {
  for (int round = 0; round < 3; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto store = Store::open({.path = folder_ / "db"});
      if (!store) _exit(2);
      for (int i = 0;; ++i) {
        const std::string name = std::to_string(round) + "-" + std::to_string(i);
        auto done = (*store)->create("/pods", {"a", name}, object(name, i));
        if (!done) _exit(3);
        if (!base::write_all(pipe_fds[1], name + "\n")) _exit(4);
      }
    }
    close(pipe_fds[1]);
    std::string acknowledged;
    char buffer[4096];
    while (acknowledged.size() < static_cast<std::size_t>(800 + 900 * round)) {
      const auto got = read(pipe_fds[0], buffer, sizeof buffer);
      ASSERT_GT(got, 0);
      acknowledged.append(buffer, static_cast<std::size_t>(got));
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    for (ssize_t got = 0; (got = read(pipe_fds[0], buffer, sizeof buffer)) > 0;)
      acknowledged.append(buffer, static_cast<std::size_t>(got));
    close(pipe_fds[0]);

    auto store = open();
    ASSERT_TRUE(store);
    std::size_t start = 0;
    for (std::size_t end = 0; (end = acknowledged.find('\n', start)) != std::string::npos;
         start = end + 1) {
      const auto name = acknowledged.substr(start, end - start);
      EXPECT_TRUE(store->get("/pods", {"a", name})) << name;
    }
  }
}

}  // namespace
}  // namespace apiserver
