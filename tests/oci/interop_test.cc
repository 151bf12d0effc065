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
#include "oci/registry_client.h"
#include "registry/registry.h"

/// `kaito image` against skopeo, oras and containerd over two registries: every pair, both
/// directions, every compression, with the digests compared. A tool that is missing is skipped.
namespace {

constexpr const char* kHtpasswd =
    "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

bool have(const std::string& tool) {
  return std::system(("command -v " + tool + " >/dev/null").c_str()) == 0;
}

std::string run_for_output(const std::string& command, int expected = 0) {
  const int status = std::system(("( " + command + " ) >command.log 2>&1 </dev/null").c_str());
  const std::string output = base::read_file("command.log").value_or("");
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, expected) << command << "\n" << output;
  return output;
}
void run(const std::string& command) { (void)run_for_output(command); }

std::string oras() {
  static const std::string path = [] {
    if (std::system(ORAS_SCRIPT " >oras-path.txt 2>/dev/null") != 0) return std::string();
    std::string text = base::read_file("oras-path.txt").value_or("");
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }();
  return path;
}

class Interop : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_ / "source/sub");
    std::filesystem::current_path(dir_);
    std::string weights(3'000'000, '\0');
    std::uint32_t state = 5;
    for (char& c : weights) {
      state = state * 1664525U + 1013904223U;
      c = static_cast<char>(state >> 24);
    }
    ASSERT_TRUE(base::write_file_atomic("source/adapter_config.json", "{\"r\":16}", 0644));
    ASSERT_TRUE(base::write_file_atomic("source/adapter_model.safetensors", weights, 0644));
    ASSERT_TRUE(base::write_file_atomic("source/sub/more.txt", "more", 0644));
    std::filesystem::create_directories("adapter");
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
      std::filesystem::copy(dir_ / "source" / file, dir_ / "adapter" / file);
    start({});
  }
  void TearDown() override {
    registry_.reset();
    std::filesystem::current_path("/");
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  void start(const std::string& htpasswd) {
    registry_.reset();
    registry::Registry::Options options;
    options.root = dir_ / "registry";
    options.htpasswd = htpasswd;
    auto registry = registry::Registry::create(std::move(options));
    ASSERT_TRUE(registry) << registry.error().message();
    registry_ = *std::move(registry);
    domain_ = registry_->domain();
  }
  static void kaito(const std::string& arguments) { run(KAITO_BINARY " image " + arguments); }
  static void expect_same(const std::string& a, const std::string& b) {
    run(fmt::format("diff -r -x .kaito-image.json {} {}", a, b));
  }
  std::string digest_of(const std::string& name) {
    const auto client = *oci::RegistryClient::create({});
    const auto found =
        client->resolve(base::Context(), *oci::Reference::parse(domain_ + "/" + name));
    EXPECT_TRUE(found) << found.error().message();
    return found ? found->digest.text() : "";
  }

  const std::filesystem::path dir_ =
      std::filesystem::temp_directory_path() / ("kaito-interop-" + base::random_name_suffix(8));
  std::unique_ptr<registry::Registry> registry_;
  std::string domain_;
};

TEST_F(Interop, SkopeoCarriesWhatWePushed) {
  if (!have("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  for (const char* compression : {"gzip", "zstd", "none"}) {
    const std::string name = fmt::format("adapter:{}", compression);
    kaito(fmt::format("push adapter {}/{} --kind adapter --model-name phi --compression {}",
                      domain_, name, compression));
    run(fmt::format(
        "rm -rf layout && skopeo copy --preserve-digests --src-tls-verify=false docker://{0}/{1} "
        "oci:layout:it && skopeo copy --preserve-digests --dest-tls-verify=false oci:layout:it "
        "docker://{0}/back/{1}",
        domain_, name));
    EXPECT_EQ(digest_of("back/" + name), digest_of(name));
    // What upstream's puller does with an adapter image.
    run(fmt::format(
        "rm -rf flat rootfs && skopeo copy --src-tls-verify=false --dest-decompress "
        "docker://{}/{} dir:flat && mkdir rootfs && for l in $(python3 -c \"import json;"
        "print(*[l['digest'][7:] for l in json.load(open('flat/manifest.json'))['layers"
        "']])\"); do tar xf flat/$l -C rootfs; done",
        domain_, name));
    expect_same("adapter", "rootfs/data");
  }
}

TEST_F(Interop, WePullWhatSkopeoPushed) {
  if (!have("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  kaito(fmt::format("push source {}/d:1 --kind dataset --compression none", domain_));
  run(fmt::format("skopeo copy --src-tls-verify=false docker://{}/d:1 oci:layout:it", domain_));
  for (const char* how : {"gzip", "zstd"}) {
    run(fmt::format(
        "skopeo copy --dest-compress --dest-compress-format {1} --dest-tls-verify=false "
        "oci:layout:it docker://{0}/d:{1}",
        domain_, how));
    kaito(fmt::format("pull {}/d:{} out-{} --kind dataset", domain_, how, how));
    expect_same("source", fmt::format("out-{}", how));
  }
  run(
      fmt::format("skopeo copy --format v2s2 --dest-tls-verify=false oci:layout:it "
                  "docker://{}/d:docker",
                  domain_));
  kaito(fmt::format("pull {}/d:docker out-docker", domain_));
  expect_same("source", "out-docker");
}

TEST_F(Interop, OrasAndWeReadEachOther) {
  if (oras().empty()) GTEST_SKIP() << "oras cannot be built here";
  kaito(fmt::format("push source {}/f:1", domain_));
  run(fmt::format("{} pull --plain-http {}/f:1 -o theirs", oras(), domain_));
  expect_same("source", "theirs");
  kaito(fmt::format("push source {}/m:1 --kind model --model-name tiny", domain_));
  run(fmt::format("{} pull --plain-http {}/m:1 -o model", oras(), domain_));
  expect_same("source", "model");

  run(
      fmt::format("cd source && {} push --plain-http {}/o:1 adapter_config.json "
                  "adapter_model.safetensors sub/more.txt",
                  oras(), domain_));
  kaito(fmt::format("pull {}/o:1 ours", domain_));
  expect_same("source", "ours");
  run(fmt::format("{} push --plain-http {}/folder:1 source", oras(), domain_));
  kaito(fmt::format("pull {}/folder:1 unpacked", domain_));
  expect_same("source", "unpacked/source");
  run(fmt::format("{0} cp --from-plain-http --to-plain-http {1}/o:1 {1}/copied/o:1", oras(),
                  domain_));
  EXPECT_EQ(digest_of("copied/o:1"), digest_of("o:1"));
}

TEST_F(Interop, EveryToolLogsInToOurRegistry) {
  start(kHtpasswd);
  EXPECT_NE(
      run_for_output(
          fmt::format(KAITO_BINARY " image push source {}/f:1 --authfile none.json", domain_), 1)
          .find("none.json"),
      std::string::npos);
  run(fmt::format("echo '{{}}' >config.json; ! " KAITO_BINARY
                  " image push source {}/f:1 --authfile config.json",
                  domain_));
  // Wrong and right password; what else the config says stays.
  run("echo '{\"auths\":{\"other\":{\"auth\":\"YTpi\"}},\"keep\":1}' >config.json");
  run(fmt::format("! echo wrong | " KAITO_BINARY " image login {} -u user --authfile config.json",
                  domain_));
  run(fmt::format("echo secret | " KAITO_BINARY " image login {} -u user --authfile config.json",
                  domain_));
  EXPECT_NE(base::read_file("config.json")->find("\"keep\""), std::string::npos);
  run("stat -c %a config.json | grep -qx 600");
  kaito(fmt::format("push source {}/f:1 --authfile config.json", domain_));
  // As a mounted Secret lies in a pod.
  run("mkdir secret && cp config.json secret/.dockerconfigjson");
  kaito(fmt::format("pull {}/f:1 ours --authfile secret", domain_));
  expect_same("source", "ours");
  if (have("skopeo"))
    run(fmt::format(
        "skopeo inspect --authfile config.json --tls-verify=false --raw docker://{}/f:1", domain_));
  if (!oras().empty()) {
    run(fmt::format("{} pull --registry-config config.json --plain-http {}/f:1 -o theirs", oras(),
                    domain_));
    expect_same("source", "theirs");
  }
}

TEST_F(Interop, ContainerdPullsAndPushes) {
  if (!have("containerd") || !have("ctr") || ::geteuid() != 0)
    GTEST_SKIP() << "containerd is not installed, or this is not root";
  ASSERT_TRUE(base::write_file_atomic(
      "containerd.toml",
      fmt::format("version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = "
                  "[\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/c.sock\"\n",
                  (dir_ / "c").string()),
      0644));
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    ::execlp("sh", "sh", "-c", "exec containerd -c containerd.toml >containerd.log 2>&1", nullptr);
    ::_exit(127);
  }
  const std::string ctr = fmt::format("ctr -a {}", (dir_ / "c/c.sock").string());
  bool up = false;
  for (int i = 0; i < 100 && !up; ++i) {
    up = std::system((ctr + " version >/dev/null 2>&1").c_str()) == 0;
    if (!up) ::usleep(100'000);
  }
  if (up) {
    kaito(fmt::format("push source {}/f:1", domain_));
    kaito(fmt::format("push source {}/m:1 --kind model", domain_));
    for (const char* name : {"f:1", "m:1"}) {
      run(fmt::format("{} content fetch --plain-http {}/{}", ctr, domain_, name));
      run(fmt::format("{0} images push --plain-http {1}/back/{2} {1}/{2}", ctr, domain_, name));
      EXPECT_EQ(digest_of(fmt::format("back/{}", name)), digest_of(name));
    }
    kaito(fmt::format("pull {}/back/f:1 out", domain_));
    expect_same("source", "out");
  }
  ::kill(daemon, SIGTERM);
  ::waitpid(daemon, nullptr, 0);
  if (!up) GTEST_SKIP() << "containerd does not run here";
}

TEST_F(Interop, CommandLineAnswersInJsonAndExitCodes) {
  kaito(fmt::format("push adapter {}/a:1 --kind adapter -o json >pushed.json", domain_));
  run("python3 -c \"import json; assert "
      "json.load(open('pushed.json'))['digest'].startswith('sha256:')\"");
  for (const std::string& command :
       {fmt::format("pull {}/a:1 out -o json", domain_),
        fmt::format("inspect {}/a:1 -o json", domain_), fmt::format("list {} -o json", domain_),
        std::string("gc --store store --max-age 1h -o json")})
    run(KAITO_BINARY " image " + command + " 2>/dev/null | python3 -m json.tool");
  (void)run_for_output(fmt::format(KAITO_BINARY " image pull {}/none:1 x", domain_), 3);
  (void)run_for_output(KAITO_BINARY " image pull 127.0.0.1:1/none:1 x", 6);
  (void)run_for_output(KAITO_BINARY " image pull", 2);
  (void)run_for_output(KAITO_BINARY " image gc --store store", 2);
  (void)run_for_output(fmt::format(KAITO_BINARY " image push nowhere {}/a:1", domain_), 1);
  kaito(fmt::format("copy {0}/a:1 {0}/b/a:2", domain_));
  EXPECT_EQ(digest_of("b/a:2"), digest_of("a:1"));
  kaito(fmt::format("push adapter {}/a:9 --kind adapter --check", domain_));
  kaito(fmt::format("rm {}/b/a:2", domain_));
  EXPECT_EQ(run_for_output(fmt::format(KAITO_BINARY " image list {}", domain_)).find("a:2"),
            std::string::npos);
}

}  // namespace
