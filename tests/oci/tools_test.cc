#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/test_support.h"
#include "free_port.h"
#include "net/tls.h"
#include "oci/layout.h"
#include "oci/model_image.h"
#include "oci/registry_client.h"
#include "registry/registry.h"

extern char** environ;

/// Ours and theirs, both directions, with the digests compared.
namespace {

using oci::Digest;
using registry::Registry;

constexpr int kStartTries = 100;
constexpr auto kStartPause = std::chrono::milliseconds(100);
constexpr const char* kUser = "user";
constexpr const char* kPassword = "secret";
/// bcrypt of kPassword, as `htpasswd -B` writes it.
constexpr const char* kHtpasswd =
    "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

base::Context soon() { return base::Context().with_timeout(std::chrono::seconds(30)); }

bool have(const std::string& tool) {
  return std::system(("command -v " + tool + " >/dev/null").c_str()) == 0;
}

/// Runs a shell command; a failure shows what the command said.
void run(const std::string& command) {
  const int status = std::system(("( " + command + " ) >command.log 2>&1").c_str());
  EXPECT_EQ(status, 0) << command << "\n" << base::read_file("command.log").value_or("");
}

/// A child process that ends with the test.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "docker.log",
                                       O_WRONLY | O_CREAT | O_APPEND, 0644);
    EXPECT_EQ(::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() { stop(SIGTERM); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  bool ended() {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
  }
  void stop(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

class OciTools : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_);
    std::filesystem::current_path(dir_);
    Registry::Options options;
    options.root = dir_ / "registry";
    auto registry = Registry::create(std::move(options));
    ASSERT_TRUE(registry) << registry.error().message();
    registry_ = *std::move(registry);
  }
  void TearDown() override {
    registry_.reset();
    std::filesystem::current_path("/");
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  /// A layout folder `image` with one image of two gzipped tar layers, named `v1`.
  Digest make_image() {
    run("mkdir -p root && echo hello >root/a && tar czf one.tgz root && head -c 3000000 "
        "/dev/urandom >root/b && tar czf two.tgz root");
    const auto layout = oci::Layout::open_or_create(dir_ / "image");
    EXPECT_TRUE(layout);
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    const auto add = [&](const std::string& bytes, std::string type) {
      oci::Descriptor descriptor;
      descriptor.media_type = std::move(type);
      descriptor.digest = *layout->write_blob(bytes);
      descriptor.size = static_cast<std::int64_t>(bytes.size());
      return descriptor;
    };
    manifest.config =
        add(R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}})",
            "application/vnd.oci.image.config.v1+json");
    for (const char* file : {"one.tgz", "two.tgz"})
      manifest.layers.push_back(
          add(*base::read_file(file), "application/vnd.oci.image.layer.v1.tar+gzip"));
    oci::Index index;
    index.manifests = {
        add(json::dump(json::encode(manifest)), std::string(oci::media_type::kOciManifest))};
    index.manifests[0].annotations[std::string(oci::annotation::kRefName)] = "v1";
    EXPECT_TRUE(layout->write_index(index));
    return index.manifests[0].digest;
  }

  /// Starts docker-registry and waits until `client` reaches it. `more` is indented YAML under
  /// `http:` and after it.
  void start_docker_registry(oci::RegistryClient& client, const std::string& http_options,
                             const std::string& more) {
    docker_domain_ = fmt::format("127.0.0.1:{}", docker_port_);
    const std::string config = fmt::format(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  "
        "filesystem: {{rootdirectory: "
        "{}/theirs}}\n  delete: {{enabled: true}}\nhttp:\n  secret: test\n  addr: {}\n{}{}",
        dir_.string(), docker_domain_, http_options, more);
    ASSERT_TRUE(base::write_file_atomic("docker.yml", config, 0644));
    docker_ = std::make_unique<Process>(
        std::vector<std::string>{"docker-registry", "serve", "docker.yml"});
    for (int i = 0; i < kStartTries; ++i) {
      const auto answered = client.ping(base::Context().with_timeout(kStartPause), docker_domain_);
      if (answered) return;
      ASSERT_FALSE(docker_->ended()) << "docker-registry ended by itself: see docker.log";
      ASSERT_TRUE(soon().sleep(kStartPause));
    }
    FAIL() << "docker-registry does not answer";
  }

  /// Pushes a model to docker-registry and pulls it back.
  void round_trip(oci::RegistryClient& client) {
    const std::string bytes = base::test::sample_bytes(5'000'000, 7);
    ASSERT_TRUE(base::write_file_atomic("tiny.gguf", bytes, 0644));
    const auto ref = *oci::Reference::parse(docker_domain_ + "/team/kaito-tiny:0.1");
    const auto packed = *oci::pack_model(soon(), "tiny.gguf", {}, {});
    const auto pushed = oci::push_model(soon(), client, ref, packed, {});
    ASSERT_TRUE(pushed) << pushed.error().message();
    EXPECT_EQ(client.resolve(soon(), ref)->digest, packed.manifest.digest);
    auto store = *oci::ContentStore::open({dir_ / "store", {}});
    const auto pulled = oci::pull_model(soon(), client, ref, store, dir_ / "out", {});
    ASSERT_TRUE(pulled) << pulled.error().message();
    EXPECT_EQ(*base::read_file("out/tiny.gguf"), bytes);
    EXPECT_EQ(*client.list_tags(soon(), ref), std::vector<std::string>{"0.1"});
    EXPECT_EQ(*client.list_repositories(soon(), docker_domain_),
              std::vector<std::string>{"team/kaito-tiny"});
    EXPECT_TRUE(client.delete_manifest(soon(), ref.with_digest(packed.manifest.digest)));
    EXPECT_EQ(client.resolve(soon(), ref).error().code(), base::ErrorCode::NotFound);
  }

  static std::unique_ptr<oci::RegistryClient> make_client(
      oci::RegistryClient::Options options = {}) {
    options.backoff_first = std::chrono::milliseconds(10);
    options.max_attempts = 2;
    return *oci::RegistryClient::create(std::move(options));
  }

  const std::filesystem::path dir_ =
      std::filesystem::temp_directory_path() / ("kaito-oci-tools-" + base::random_name_suffix(8));
  std::unique_ptr<Registry> registry_;
  const int docker_port_ = free_port();
  std::string docker_domain_;
  std::unique_ptr<Process> docker_;
};

TEST_F(OciTools, SkopeoPushesPullsAndReadsTheFolder) {
  if (!have("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  const Digest digest = make_image();
  const std::string ours = registry_->domain() + "/team/app:v1";
  run("skopeo copy --dest-tls-verify=false oci:image:v1 docker://" + ours);
  EXPECT_EQ(make_client()->resolve(soon(), *oci::Reference::parse(ours))->digest, digest);
  run("skopeo copy --src-tls-verify=false docker://" + ours + " oci:copy:v1");
  EXPECT_EQ(oci::Layout::open_or_create(dir_ / "copy")->read_index()->manifests.at(0).digest,
            digest);
  run("skopeo copy oci:registry:team/app:v1 oci:from-folder:v1");
  EXPECT_EQ(oci::Layout::open_or_create(dir_ / "from-folder")->read_index()->manifests.at(0).digest,
            digest);
  run("skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://" + ours + " docker://" +
      registry_->domain() + "/other/app:v2");
  run("skopeo copy --src-tls-verify=false --dest-tls-verify=false --format v2s2 docker://" + ours +
      " docker://" + registry_->domain() + "/other/app:docker");
  run("skopeo list-tags --tls-verify=false docker://" + registry_->domain() +
      "/other/app | grep -q docker");
  run("skopeo inspect --tls-verify=false docker://" + ours + " | grep -q " + digest.text());
  run("skopeo delete --tls-verify=false docker://" + ours);
  EXPECT_EQ(make_client()->resolve(soon(), *oci::Reference::parse(ours)).error().code(),
            base::ErrorCode::NotFound);
}

TEST_F(OciTools, SkopeoSyncsFromDockerRegistryToOurs) {
  if (!have("skopeo") || !have("docker-registry"))
    GTEST_SKIP() << "skopeo or docker-registry is not installed";
  const Digest digest = make_image();
  const auto client = make_client();
  ASSERT_NO_FATAL_FAILURE(start_docker_registry(*client, "", ""));
  run("skopeo copy --dest-tls-verify=false oci:image:v1 docker://" + docker_domain_ +
      "/team/app:v1");
  run("skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://" + docker_domain_ +
      "/team/app:v1 docker://" + registry_->domain() + "/team/app:v1");
  const auto ref = *oci::Reference::parse(registry_->domain() + "/team/app:v1");
  EXPECT_EQ(client->resolve(soon(), ref)->digest, digest);
  const auto manifest = client->get_manifest(soon(), ref);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->digest, digest);
}

TEST_F(OciTools, OurClientAndDockerRegistry) {
  if (!have("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  const auto client = make_client();
  ASSERT_NO_FATAL_FAILURE(start_docker_registry(*client, "", ""));
  ASSERT_NO_FATAL_FAILURE(round_trip(*client));
}

TEST_F(OciTools, OurClientAndDockerRegistryWithPasswords) {
  if (!have("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  ASSERT_TRUE(base::write_file_atomic("htpasswd", kHtpasswd, 0600));
  oci::RegistryClient::Options options;
  options.credentials.add(fmt::format("127.0.0.1:{}", docker_port_), {kUser, kPassword, {}});
  const auto client = make_client(std::move(options));
  ASSERT_NO_FATAL_FAILURE(start_docker_registry(
      *client, "",
      fmt::format("auth:\n  htpasswd: {{realm: test, path: {}/htpasswd}}\n", dir_.string())));
  ASSERT_NO_FATAL_FAILURE(round_trip(*client));
  EXPECT_EQ(make_client()->ping(soon(), docker_domain_).error().code(),
            base::ErrorCode::Unauthorized);
}

TEST_F(OciTools, OurClientAndDockerRegistryOverTls) {
  if (!have("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  const auto authority = *net::make_certificate_authority("test");
  net::CertificateRequest request;
  request.common_name = "registry";
  request.ip_addresses = {"127.0.0.1"};
  const auto certificate = *net::issue_certificate(authority, request);
  ASSERT_TRUE(base::write_file_atomic("cert.pem", certificate.cert_pem, 0600));
  ASSERT_TRUE(base::write_file_atomic("key.pem", certificate.key_pem, 0600));
  oci::RegistryClient::Options options;
  options.scheme = oci::RegistryScheme::Https;
  options.tls.ca_pem = authority.cert_pem;
  const auto client = make_client(options);
  ASSERT_NO_FATAL_FAILURE(start_docker_registry(
      *client,
      fmt::format("  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n", dir_.string()), ""));
  ASSERT_NO_FATAL_FAILURE(round_trip(*client));
  options.tls.ca_pem = net::make_certificate_authority("other")->cert_pem;
  EXPECT_EQ(make_client(options)->ping(soon(), docker_domain_).error().code(),
            base::ErrorCode::Unauthorized)
      << "a certificate of another authority is refused";
}

TEST_F(OciTools, AKilledRegistryIsResumed) {
  if (!have("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
  oci::RegistryClient::Options options;
  options.max_attempts = 20;
  options.backoff_first = std::chrono::milliseconds(50);
  const auto client = *oci::RegistryClient::create(std::move(options));
  ASSERT_NO_FATAL_FAILURE(start_docker_registry(*client, "", ""));
  const std::string bytes = base::test::sample_bytes(40'000'000, 7);
  ASSERT_TRUE(base::write_file_atomic("big.gguf", bytes, 0644));
  const auto ref = *oci::Reference::parse(docker_domain_ + "/kaito-big:1");
  const auto packed = *oci::pack_model(soon(), "big.gguf", {}, {});
  bool killed = false;
  const auto kill_once = [&](const oci::Progress& progress) {
    if (killed || progress.done_bytes < progress.total_bytes / 2 ||
        progress.done_bytes == progress.total_bytes)
      return;
    killed = true;
    docker_->stop(SIGKILL);
    docker_ = std::make_unique<Process>(
        std::vector<std::string>{"docker-registry", "serve", "docker.yml"});
  };
  const auto pushed = oci::push_model(soon(), *client, ref, packed, kill_once);
  ASSERT_TRUE(pushed) << pushed.error().message();
  EXPECT_TRUE(killed);
  killed = false;
  auto store = *oci::ContentStore::open({dir_ / "store", {}});
  const auto pulled = oci::pull_model(soon(), *client, ref, store, dir_ / "out", kill_once);
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_TRUE(killed);
  EXPECT_EQ(*base::read_file("out/big.gguf"), bytes);
}

}  // namespace
