#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/random.h"
#include "net/http_server.h"
#include "oci/model_image.h"
#include "oci/registry_client.h"
#include "registry/registry.h"

/// `kaito model` as users and the operator run it: output, exit codes, signals.
namespace {

using registry::Registry;

struct Outcome {
  int code = -1;
  std::string output;
};

/// A GGUF file with one string of metadata and one F32 tensor of `elements` values.
std::string tiny_gguf(std::uint64_t elements) {
  std::string bytes;
  const auto number = [&](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  const auto text = [&](std::string_view value) {
    number(std::uint64_t{value.size()});
    bytes += value;
  };
  bytes += "GGUF";
  number(std::uint32_t{3});
  number(std::uint64_t{1});
  number(std::uint64_t{1});
  text("general.architecture");
  number(std::uint32_t{8});
  text("llama");
  text("token_embd.weight");
  number(std::uint32_t{1});
  number(elements);
  number(std::uint32_t{0});
  number(std::uint64_t{0});
  constexpr std::size_t kAlignment = 32;
  bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  bytes.resize(bytes.size() + elements * sizeof(float), 'x');
  return bytes;
}

class ModelCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_);
    std::filesystem::current_path(dir_);
    Registry::Options options;
    options.root = dir_ / "registry";
    auto registry = Registry::create(std::move(options));
    ASSERT_TRUE(registry) << registry.error().message();
    registry_ = *std::move(registry);
    ASSERT_TRUE(base::write_file_atomic("tiny.gguf", tiny_gguf(1000), 0644));
  }
  void TearDown() override {
    registry_.reset();
    std::filesystem::current_path("/");
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  /// Runs `kaito model ARGUMENTS`.
  static Outcome kaito(const std::string& arguments) {
    const int status = std::system(
        fmt::format("{} model {} >output.txt 2>&1 </dev/null", KAITO_BINARY, arguments).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            base::read_file("output.txt").value_or("")};
  }
  Outcome pull(const std::string& name) {
    return kaito(fmt::format("pull {}/{} --store store --output out", registry_->domain(), name));
  }
  Outcome import(const std::string& file = "tiny.gguf") {
    return kaito(
        fmt::format("import {} --name my-model --tag v1 --registry {}", file, registry_->domain()));
  }

  const std::filesystem::path dir_ =
      std::filesystem::temp_directory_path() / ("kaito-model-" + base::random_name_suffix(8));
  std::unique_ptr<Registry> registry_;
};

TEST_F(ModelCommand, ImportsListsPullsAndRemoves) {
  const Outcome imported = import();
  ASSERT_EQ(imported.code, 0) << imported.output;
  EXPECT_NE(imported.output.find(registry_->domain() + "/kaito-my-model:v1@sha256:"),
            std::string::npos)
      << imported.output;
  EXPECT_NE(kaito("list --registry " + registry_->domain()).output.find("kaito-my-model"),
            std::string::npos);
  EXPECT_NE(kaito(fmt::format("inspect {}/kaito-my-model:v1", registry_->domain()))
                .output.find("tiny.gguf"),
            std::string::npos);
  EXPECT_NE(kaito("inspect tiny.gguf").output.find("llama"), std::string::npos);
  const Outcome pulled = pull("kaito-my-model:v1");
  EXPECT_EQ(pulled.code, 0) << pulled.output;
  EXPECT_EQ(*base::read_file("out/tiny.gguf"), tiny_gguf(1000));
  EXPECT_TRUE(std::filesystem::exists("out/model.json"));
  EXPECT_EQ(kaito(fmt::format("rm {}/kaito-my-model:v1", registry_->domain())).code, 0);
  EXPECT_EQ(pull("kaito-my-model:v1").code, 3);
}

TEST_F(ModelCommand, AMissingImageNamesTheCommandThatProvidesIt) {
  const Outcome pulled = pull("kaito-phi-3-mini-4k-instruct:0.1");
  EXPECT_EQ(pulled.code, 3);
  EXPECT_NE(pulled.output.find(fmt::format(
                "model image {}/kaito-phi-3-mini-4k-instruct:0.1 not found in its registry; "
                "provide it with: kaito model import FILE --name phi-3-mini-4k-instruct",
                registry_->domain())),
            std::string::npos)
      << pulled.output;
}

TEST_F(ModelCommand, EveryFailureHasItsExitCode) {
  EXPECT_EQ(kaito("pull").code, 2);
  EXPECT_EQ(pull("BAD:0.1").code, 2);
  EXPECT_EQ(kaito("pull 127.0.0.1:1/kaito-x:1 --store store --output out").code, 6);
  ASSERT_EQ(import().code, 0);
  const auto path = dir_ / "registry/blobs/sha256" / oci::Digest::of(tiny_gguf(1000)).hex();
  std::string altered = tiny_gguf(1000);
  altered.back() = 'y';
  ASSERT_TRUE(base::write_file_atomic(path, altered, 0644));
  const Outcome pulled = pull("kaito-my-model:v1");
  EXPECT_EQ(pulled.code, 4) << pulled.output;
  EXPECT_FALSE(std::filesystem::exists("out/tiny.gguf"));
}

TEST_F(ModelCommand, RefusesFilesThatAreNoWholeModels) {
  const std::string good = tiny_gguf(1000);
  for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
           {"empty.gguf", ""},
           {"text.gguf", "hello"},
           {"short.gguf", good.substr(0, good.size() - 100)},
           {"head.gguf", good.substr(0, 40)}}) {
    ASSERT_TRUE(base::write_file_atomic(name, content, 0644));
    const Outcome imported = import(name);
    EXPECT_EQ(imported.code, 1) << name << imported.output;
    EXPECT_NE(imported.output.find(name), std::string::npos) << imported.output;
  }
  EXPECT_EQ(import("none.gguf").code, 1);
  EXPECT_EQ(kaito("list --registry " + registry_->domain()).output.find("my-model"),
            std::string::npos);
}

/// Starts a pull from a server that stops halfway and waits until the first half has arrived.
TEST_F(ModelCommand, AnInterruptedPullGoesOnWhereItStopped) {
  const std::string bytes = tiny_gguf(500'000);
  const std::size_t half = bytes.size() / 2;
  ASSERT_TRUE(base::write_file_atomic("big.gguf", bytes, 0644));
  const auto packed = *oci::pack_model(base::Context(), "big.gguf", {}, {});
  std::atomic<bool> stall = true;
  std::string range;
  const auto server =
      *net::HttpServer::create({}, [&](const base::Context& ctx, net::HttpExchange& exchange) {
        net::HttpResponse response;
        if (exchange.request().target.path.find("/manifests/") != std::string::npos) {
          response.headers.set("Content-Type", packed.manifest.media_type);
          response.body = packed.manifest.bytes;
          (void)exchange.respond(std::move(response));
        } else if (stall) {
          (void)exchange.start_stream(std::move(response));
          (void)exchange.write(std::string_view(bytes).substr(0, half));
          while (!exchange.client_gone() && ctx.sleep(std::chrono::milliseconds(20))) {
          }
        } else {
          range = exchange.request().headers.get_or("range", "");
          response.status = 206;
          response.headers.set("Content-Range",
                               fmt::format("bytes {}-{}/{}", half, bytes.size() - 1, bytes.size()));
          response.body = bytes.substr(half);
          (void)exchange.respond(std::move(response));
        }
      });
  const std::string arguments =
      fmt::format("pull 127.0.0.1:{}/kaito-big:1 --store store --output out", server->port());
  const std::string partial =
      fmt::format("store/blobs/sha256/{}.partial", packed.weights.digest.hex());
  for (const int signal : {SIGINT, SIGKILL}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c",
              fmt::format("exec {} model {} >child.txt 2>&1", KAITO_BINARY, arguments).c_str(),
              nullptr);
      ::_exit(127);
    }
    std::error_code error;
    for (int i = 0; i < 500 && (!std::filesystem::exists(partial) ||
                                std::filesystem::file_size(partial, error) < half);
         ++i)
      ::usleep(20'000);
    ::usleep(100'000);
    ::kill(child, signal);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (signal == SIGINT) {
      EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 130) << *base::read_file("child.txt");
    }
    EXPECT_EQ(std::filesystem::file_size(partial, error), half);
    EXPECT_FALSE(std::filesystem::exists("out/model.json"));
  }
  stall = false;
  const Outcome pulled = kaito(arguments);
  EXPECT_EQ(pulled.code, 0) << pulled.output;
  EXPECT_EQ(range, fmt::format("bytes={}-", half));
  EXPECT_EQ(*base::read_file("out/big.gguf"), bytes);
}

}  // namespace
