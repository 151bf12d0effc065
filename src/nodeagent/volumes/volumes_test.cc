#include "nodeagent/volumes/volumes.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <thread>

#include "base/encoding.h"
#include "base/file.h"
#include "base/random.h"

namespace nodeagent {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class FakeConfigs final : public ConfigSource {
 public:
  base::Result<api::ConfigMap> config_map(const std::string&, const std::string& name) override {
    const auto found = maps.find(name);
    if (found == maps.end())
      return base::Error(base::ErrorCode::NotFound, "configmaps \"" + name + "\" not found");
    return found->second;
  }
  base::Result<api::Secret> secret(const std::string&, const std::string&) override {
    api::Secret secret;
    secret.data = {{"token", base::to_base64("hush")}};
    return secret;
  }

  std::map<std::string, api::ConfigMap> maps{{"config", config()}};

 private:
  static api::ConfigMap config() {
    api::ConfigMap map;
    map.data = {{"a.yaml", "alpha"}, {"b.yaml", "beta"}};
    map.binary_data = {{"raw", base::to_base64(std::string("\0\1", 2))}};
    return map;
  }
};

class VolumesTest : public testing::Test {
 protected:
  ~VolumesTest() override { fs::remove_all(directory_); }
  void add(std::string name, std::string_view source) {
    auto value = json::parse(source);
    api::Volume volume = *json::decode<api::Volume>(*value);
    volume.name = std::move(name);
    pod_.spec.volumes.push_back(std::move(volume));
  }
  base::Result<VolumePaths> prepare() {
    return prepare_volumes(pod_, directory_.string(), configs_);
  }
  base::Status refresh() { return refresh_volumes(pod_, directory_.string(), configs_); }
  std::string read(const std::string& path) const {
    return base::read_file(directory_ / path).value_or("(none)");
  }

  fs::path directory_ = fs::temp_directory_path() / ("volumes-" + base::random_name_suffix(8));
  api::Pod pod_;
  FakeConfigs configs_;
};

TEST_F(VolumesTest, MakesEveryKindAndKeepsScratchContent) {
  pod_.metadata.name = "web-0";
  add("scratch", R"({"emptyDir":{}})");
  add("all", R"({"configMap":{"name":"config"}})");
  add("some",
      R"({"configMap":{"name":"config","items":[{"key":"a.yaml","path":"sub/x","mode":256}]}})");
  add("secret", R"({"secret":{"secretName":"s"}})");
  add("both",
      R"({"projected":{"sources":[{"configMap":{"name":"config"}},{"secret":{"name":"s"}},{"downwardAPI":{"items":[{"path":"name","fieldRef":{"fieldPath":"metadata.name"}}]}}]}})");
  add("maybe", R"({"configMap":{"name":"none","optional":true}})");
  const auto paths = prepare();
  ASSERT_TRUE(paths) << paths.error().message();
  EXPECT_EQ(read("all/a.yaml"), "alpha");
  EXPECT_EQ(read("all/raw"), std::string("\0\1", 2));
  EXPECT_EQ(read("some/sub/x"), "alpha");
  EXPECT_FALSE(fs::exists(directory_ / "some/b.yaml"));
  struct stat info{};
  ASSERT_EQ(::stat((directory_ / "some/sub/x").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0400U);
  EXPECT_EQ(read("secret/token"), "hush");
  EXPECT_EQ(read("both/name"), "web-0");
  EXPECT_EQ(read("both/token"), "hush");
  EXPECT_TRUE(fs::is_directory(directory_ / "maybe"));
  ASSERT_TRUE(base::write_file_atomic(directory_ / "scratch/kept", "yes", 0600));
  ASSERT_TRUE(prepare());
  EXPECT_EQ(read("scratch/kept"), "yes");
}

TEST_F(VolumesTest, RefreshFollowsKeysThatChangeComeAndGo) {
  add("all", R"({"configMap":{"name":"config"}})");
  add("some", R"({"configMap":{"name":"config","items":[{"key":"a.yaml","path":"sub/x"}]}})");
  add("late", R"({"configMap":{"name":"late","optional":true}})");
  add("labels",
      R"({"downwardAPI":{"items":[{"path":"l","fieldRef":{"fieldPath":"metadata.labels"}}]}})");
  ASSERT_TRUE(prepare());
  const auto before = fs::last_write_time(directory_ / "all");
  ASSERT_TRUE(refresh());
  EXPECT_EQ(fs::last_write_time(directory_ / "all"), before) << "nothing had changed";
  configs_.maps["config"].data = {{"a.yaml", "ALPHA"}, {"c.yaml", "gamma"}};
  configs_.maps["late"].data = {{"list", "one"}};
  pod_.metadata.labels = {{"tier", "gold"}};
  ASSERT_TRUE(refresh());
  EXPECT_EQ(read("all/a.yaml"), "ALPHA");
  EXPECT_EQ(read("all/c.yaml"), "gamma");
  EXPECT_EQ(read("all/b.yaml"), "(none)");
  EXPECT_FALSE(fs::exists(fs::symlink_status(directory_ / "all/b.yaml")));
  EXPECT_EQ(read("some/sub/x"), "ALPHA");
  EXPECT_EQ(read("late/list"), "one");
  EXPECT_EQ(read("labels/l"), "tier=\"gold\"\n");
  // An optional map that goes takes its files along; of earlier content nothing stays.
  configs_.maps.erase("late");
  ASSERT_TRUE(refresh());
  EXPECT_FALSE(fs::exists(fs::symlink_status(directory_ / "late/list")));
  const auto entries = std::distance(fs::directory_iterator(directory_ / "all"), {});
  EXPECT_EQ(entries, 5) << "..data, its directory, a.yaml, c.yaml, raw";
}

TEST_F(VolumesTest, AVolumeThatCannotBeMadeKeepsWhatItShows) {
  add("gone", R"({"configMap":{"name":"config"}})");
  add("other", R"({"configMap":{"name":"other"}})");
  configs_.maps["other"].data = {{"k", "old"}};
  ASSERT_TRUE(prepare());
  configs_.maps.erase("config");
  configs_.maps["other"].data = {{"k", "new"}};
  EXPECT_THAT(refresh().error().message(), HasSubstr("volume \"gone\": configmap \"config\""));
  EXPECT_EQ(read("gone/a.yaml"), "alpha");
  EXPECT_EQ(read("other/k"), "new");
}

TEST_F(VolumesTest, AReaderSeesOneContentOrTheOther) {
  constexpr std::size_t kSize = 200'000;
  constexpr int kChanges = 40;
  add("v", R"({"configMap":{"name":"big"}})");
  configs_.maps["big"].data = {{"k", std::string(kSize, 'a')}};
  ASSERT_TRUE(prepare());
  std::atomic<int> reads{0};
  std::atomic<int> torn{0};
  const std::jthread reader([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const auto content = base::read_file(directory_ / "v/k");
      if (!content) continue;  // Between two links, as with kubelet.
      ++reads;
      const char first = content->empty() ? '\0' : content->front();
      if (*content != std::string(kSize, first)) ++torn;
    }
  });
  for (int i = 0; i < kChanges || reads == 0; ++i) {
    configs_.maps["big"].data = {{"k", std::string(kSize, i % 2 == 0 ? 'b' : 'a')}};
    ASSERT_TRUE(refresh());
  }
  EXPECT_EQ(torn, 0);
}

TEST_F(VolumesTest, AFileHeldByItselfStaysAsItWas) {
  add("v", R"({"configMap":{"name":"config"}})");
  ASSERT_TRUE(prepare());
  // What a subPath mount holds: the file, not its name.
  const base::UniqueFd held(::open((directory_ / "v/a.yaml").c_str(), O_RDONLY | O_CLOEXEC));
  configs_.maps["config"].data["a.yaml"] = "changed";
  ASSERT_TRUE(refresh());
  std::array<char, 16> text{};
  ASSERT_EQ(::read(held.get(), text.data(), text.size()), 5);
  EXPECT_EQ(std::string(text.data(), 5), "alpha");
  EXPECT_EQ(read("v/a.yaml"), "changed");
}

TEST_F(VolumesTest, TakesOverPlainFilesAndWhatACrashLeft) {
  add("v", R"({"configMap":{"name":"config"}})");
  fs::create_directories(directory_ / "v/b.yaml");
  fs::create_directories(directory_ / "v/..half");
  ASSERT_TRUE(base::write_file_atomic(directory_ / "v/a.yaml", "plain", 0600));
  ASSERT_TRUE(prepare());
  EXPECT_EQ(read("v/a.yaml"), "alpha");
  EXPECT_EQ(read("v/b.yaml"), "beta");
  EXPECT_FALSE(fs::exists(directory_ / "v/..half"));
}

TEST(VolumeReferences, NamesEachObjectOnce) {
  const auto pod = json::decode<api::Pod>(*json::parse(
      R"({"metadata":{"namespace":"n"},"spec":{"containers":[],"volumes":[
        {"name":"a","configMap":{"name":"x"}},{"name":"b","secret":{"secretName":"s"}},{"name":"c","emptyDir":{}},
        {"name":"d","projected":{"sources":[{"configMap":{"name":"x"}},{"secret":{"name":"t"}}]}}]}})"));
  ASSERT_TRUE(pod);
  EXPECT_THAT(volume_references(*pod),
              testing::ElementsAre("ConfigMap/n/x", "Secret/n/s", "Secret/n/t"));
}

TEST_F(VolumesTest, HostPathTypes) {
  const std::string base = directory_.string() + "/host";
  add("made", R"({"hostPath":{"path":")" + base + R"(","type":"DirectoryOrCreate"}})");
  EXPECT_EQ(prepare()->at("made"), base);
  pod_.spec.volumes.clear();
  add("absent", R"({"hostPath":{"path":")" + base + R"(/no","type":"Directory"}})");
  EXPECT_THAT(prepare().error().message(), HasSubstr("volume \"absent\": hostPath"));
  pod_.spec.volumes.clear();
  add("wrong", R"({"hostPath":{"path":")" + base + R"(","type":"File"}})");
  EXPECT_THAT(prepare().error().message(), HasSubstr("hostPath type check failed"));
}

TEST_F(VolumesTest, SaysWhatIsMissingOrNotSupported) {
  add("v", R"({"configMap":{"name":"none"}})");
  EXPECT_EQ(prepare().error().message(),
            "volume \"v\": configmap \"none\": configmaps \"none\" not found");
  pod_.spec.volumes.clear();
  add("v", R"({"persistentVolumeClaim":{"claimName":"c"}})");
  EXPECT_THAT(prepare().error().message(),
              HasSubstr("volume \"v\": kind persistentVolumeClaim is not supported"));
  pod_.spec.volumes.clear();
  add("v", R"({"configMap":{"name":"config","items":[{"key":"a.yaml","path":"../out"}]}})");
  EXPECT_THAT(prepare().error().message(), HasSubstr("must stay inside the volume"));
  for (const char* path : {"..data/x", "./..data", ".", "x/"}) {
    pod_.spec.volumes[0].source.config_map->items[0].path = path;
    EXPECT_THAT(prepare().error().message(), HasSubstr("path '")) << path;
  }
}

TEST_F(VolumesTest, MountsUseSubPathsThatStayInside) {
  api::Container container;
  container.volume_mounts = {
      {.name = "v", .mount_path = "/m", .sub_path_expr = "$(POD)/x", .read_only = true}};
  const VolumePaths paths = {{"v", directory_.string()}};
  const auto mounts = container_mounts(container, paths, {{"POD", "p"}});
  ASSERT_TRUE(mounts);
  EXPECT_EQ(mounts->at(0).source, directory_.string() + "/p/x");
  EXPECT_TRUE(mounts->at(0).read_only);
  EXPECT_TRUE(fs::is_directory(directory_ / "p/x"));
  container.volume_mounts[0].sub_path_expr = "../x";
  EXPECT_FALSE(container_mounts(container, paths, {}));
  container.volume_mounts[0].name = "other";
  EXPECT_THAT(container_mounts(container, paths, {}).error().message(),
              HasSubstr("names no volume"));
}

TEST(RewritePaths, ReplacesWholePrefixesOnly) {
  const std::vector<Mount> mounts = {{"/host/w", "/workspace/weights"},
                                     {"/host/i", "/workspace/weights/inner"}};
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/workspace/weights", "/host/w"},
      {"--model=/workspace/weights/a.gguf", "--model=/host/w/a.gguf"},
      {"/workspace/weights/inner/x", "/host/i/x"},
      {"/workspace/weights-old", "/workspace/weights-old"},
      {"/opt/workspace/weights", "/opt/workspace/weights"},
      {"http://host/workspace/weights", "http://host/workspace/weights"},
      {"a:/workspace/weights:b", "a:/host/w:b"},
  };
  for (const auto& [text, rewritten] : cases) EXPECT_EQ(rewrite_paths(text, mounts), rewritten);
}

}  // namespace
}  // namespace nodeagent
