#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "base/test_support.h"
#include "free_port.h"
#include "oci/layout.h"
#include "oci/model_image.h"
#include "oci/registry_client.h"

extern char** environ;

/// The registry under `kill -9` while several clients push and pull.
namespace {

constexpr int kKills = 12;
constexpr int kPushers = 3;
constexpr int kImagesPerPusher = 24;

base::Context soon() { return base::Context().with_timeout(std::chrono::seconds(60)); }

std::string image_bytes(int pusher, int image) {
  return base::test::sample_bytes(static_cast<std::size_t>(300'000 + image * 100'000),
                                  static_cast<std::uint32_t>(pusher * 100 + image + 1));
}

class KilledRegistry : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_); }
  void TearDown() override {
    kill_server();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  void start_server() {
    std::string program = REGISTRY_SERVER;
    std::string root = dir_ / "registry";
    std::string port = std::to_string(port_);
    char* argv[] = {program.data(), root.data(), port.data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(::posix_spawn(&server_, argv[0], &actions, nullptr, argv, environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  void kill_server() {
    if (server_ <= 0) return;
    ::kill(server_, SIGKILL);
    ::waitpid(server_, nullptr, 0);
    server_ = -1;
  }

  oci::Reference reference(int pusher, int image) const {
    return *oci::Reference::parse(fmt::format("127.0.0.1:{}/kaito-{}:{}", port_, pusher, image));
  }

  static std::unique_ptr<oci::RegistryClient> make_client() {
    oci::RegistryClient::Options options;
    options.max_attempts = 100;
    options.backoff_first = std::chrono::milliseconds(20);
    options.backoff_max = std::chrono::milliseconds(100);
    return *oci::RegistryClient::create(std::move(options));
  }

  void push_all(int pusher) {
    const auto client = make_client();
    for (int image = 0; image < kImagesPerPusher; ++image) {
      const auto file = dir_ / fmt::format("{}-{}.gguf", pusher, image);
      ASSERT_TRUE(base::write_file_atomic(file, image_bytes(pusher, image), 0644));
      oci::ModelPackOptions options;
      options.file_name = "model.gguf";
      const auto packed = oci::pack_model(soon(), file, options, {});
      ASSERT_TRUE(packed);
      const auto pushed = oci::push_model(soon(), *client, reference(pusher, image), *packed, {});
      ASSERT_TRUE(pushed) << pushed.error().message();
      ++acknowledged_;
    }
  }

  const std::filesystem::path dir_ =
      std::filesystem::temp_directory_path() / ("kaito-kill-" + base::random_name_suffix(8));
  const int port_ = free_port();
  pid_t server_ = -1;
  std::atomic<int> acknowledged_ = 0;
};

TEST_F(KilledRegistry, LosesNothingThatItAcknowledged) {
  start_server();
  std::vector<std::jthread> pushers;
  for (int i = 0; i < kPushers; ++i) pushers.emplace_back([this, i] { push_all(i); });
  int kills = 0;
  for (; kills < kKills && acknowledged_ < kPushers * kImagesPerPusher; ++kills) {
    ASSERT_TRUE(soon().sleep(std::chrono::milliseconds(30 + base::random_below(200))));
    kill_server();
    start_server();
  }
  for (auto& pusher : pushers) pusher.join();
  ASSERT_EQ(acknowledged_, kPushers * kImagesPerPusher);
  EXPECT_GT(kills, 1) << "it was killed while the pushers worked";
  kill_server();
  start_server();

  const auto client = make_client();
  auto store = *oci::ContentStore::open({dir_ / "store", {}});
  for (int pusher = 0; pusher < kPushers; ++pusher) {
    for (int image = 0; image < kImagesPerPusher; ++image) {
      const auto out = dir_ / fmt::format("out-{}-{}", pusher, image);
      const auto pulled =
          oci::pull_model(soon(), *client, reference(pusher, image), store, out, {});
      ASSERT_TRUE(pulled) << pulled.error().message();
      EXPECT_TRUE(*base::read_file(out / "model.gguf") == image_bytes(pusher, image))
          << pusher << "/" << image;
    }
  }
  const auto layout = oci::Layout::open_or_create(dir_ / "registry");
  ASSERT_TRUE(layout);
  for (const oci::Digest& digest : layout->list_blobs())
    EXPECT_EQ(oci::Digest::of(*layout->read_blob(digest, 64 << 20)), digest)
        << "a blob under its digest is whole";
}

}  // namespace
