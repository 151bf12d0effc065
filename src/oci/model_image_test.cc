#include "oci/model_image.h"

#include <sys/stat.h>

#include "base/file.h"
#include "oci/place_file.h"
#include "oci/test_support.h"

namespace oci {
namespace {

Manifest manifest_with(std::vector<std::pair<std::string, Annotations>> layers) {
  Manifest manifest;
  for (auto& [type, annotations] : layers) {
    Descriptor layer = descriptor_for("x", type);
    layer.annotations = annotations;
    manifest.layers.push_back(layer);
  }
  return manifest;
}

Annotations path_of(const std::string& path) {
  return {{std::string(annotation::kModelFilepath), path}};
}

TEST(ClassifyImage, TakesModelPackAndPlainArtifacts) {
  const auto files = classify_image(manifest_with({
      {std::string(media_type::kModelWeightRaw), path_of("weights/a.gguf")},
      {"application/vnd.cncf.model.weight.v1.gguf", path_of("b.gguf")},
      {"application/vnd.cnai.model.doc.v1.raw",
       {{std::string(annotation::kCnaiFilepath), "README.md"}}},
      {"application/vnd.oci.image.layer.v1.tar",
       {{std::string(annotation::kTitle), "c.safetensors"}}},
      {std::string(media_type::kEmpty), {}},
  }));
  ASSERT_TRUE(files) << files.error().message();
  ASSERT_EQ(files->files.size(), 4U);
  EXPECT_EQ(files->files[0].path, "weights/a.gguf");
  EXPECT_EQ(files->files[3].path, "c.safetensors");
  EXPECT_EQ(files->form, ImageForm::ModelPack);
}

TEST(ClassifyImage, KnowsPackedLayers) {
  struct Case {
    std::string type;
    Annotations annotations;
    ImageForm form;
  };
  for (const auto& [type, annotations, form] : std::vector<Case>{
           {"application/vnd.oci.image.layer.v1.tar+gzip", {}, ImageForm::Container},
           {"application/vnd.docker.image.rootfs.diff.tar.gzip", {}, ImageForm::Container},
           {"application/vnd.cncf.model.weight.v1.tar", path_of("a.gguf"), ImageForm::ModelPack},
           {"application/vnd.oci.image.layer.v1.tar+gzip",
            {{std::string(annotation::kTitle), "folder"},
             {std::string(annotation::kOrasUnpack), "true"}},
            ImageForm::Artifact}}) {
    const auto image = classify_image(manifest_with({{type, annotations}}));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(image->archives.size(), 1U) << type;
    EXPECT_TRUE(image->files.empty()) << type;
    EXPECT_EQ(image->form, form) << type;
  }
  EXPECT_FALSE(classify_image(Manifest{}));
}

TEST(ClassifyImage, RefusesNamesThatLeaveTheFolder) {
  for (const std::string& name :
       {std::string("/etc/passwd"), std::string("../a"), std::string("a/../../b"),
        std::string("a/.."), std::string("."), std::string("a//b"), std::string("a/"),
        std::string("a\nb"), std::string("a\\b"), std::string("a\0b", 3), std::string("model.json"),
        std::string(256, 'a'), std::string("\xff")}) {
    EXPECT_FALSE(
        classify_image(manifest_with({{std::string(media_type::kModelWeightRaw), path_of(name)}})))
        << name;
  }
  const std::string type(media_type::kModelWeightRaw);
  EXPECT_FALSE(classify_image(manifest_with({{type, path_of("a")}, {type, path_of("a")}})));
  EXPECT_FALSE(classify_image(manifest_with({{type, path_of("a/b")}, {type, path_of("a")}})));
}

TEST(PackModel, TheSameFileGivesTheSameDigest) {
  const TempDir dir;
  const auto file = dir.path() / "tiny.gguf";
  ASSERT_TRUE(base::write_file_atomic(file, sample_bytes(3000), 0600));
  ModelPackOptions options;
  options.name = "tiny";
  options.param_size = "3k";
  const auto packed = pack_model(base::Context(), file, options, {});
  ASSERT_TRUE(packed) << packed.error().message();
  EXPECT_EQ(pack_model(base::Context(), file, options, {})->manifest.digest,
            packed->manifest.digest);
  const auto decoded = packed->manifest.decode();
  ASSERT_TRUE(decoded);
  const auto& manifest = std::get<Manifest>(*decoded);
  EXPECT_EQ(manifest.artifact_type, media_type::kModelManifest);
  EXPECT_EQ(manifest.config.digest, Digest::of(packed->config));
  EXPECT_EQ(classify_image(manifest)->files.front().path, "tiny.gguf");
  EXPECT_EQ(manifest.layers[0].digest, Digest::of(sample_bytes(3000)));
  EXPECT_EQ(
      packed->config,
      R"({"config":{"architecture":"transformer","format":"gguf","paramSize":"3k"},"descriptor":{"name":"tiny"},"modelfs":{"diffIds":[")" +
          manifest.layers[0].digest.text() + R"("],"type":"layers"}})");
}

TEST(PackModel, OnlyPlainFilesThatExist) {
  const TempDir dir;
  EXPECT_FALSE(pack_model(base::Context(), dir.path(), {}, {}));
  EXPECT_EQ(pack_model(base::Context(), dir.path() / "none", {}, {}).error().code(),
            base::ErrorCode::NotFound);
}

TEST(PlaceFile, LinksWithinAFileSystemAndReplacesInOneStep) {
  const TempDir dir;
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "blob", "content", 0444));
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "b.gguf", "old", 0444));
  EXPECT_EQ(*place_file(base::Context(), dir.path() / "blob", dir.path(), "a/b/c.gguf"),
            Placement::HardLink);
  EXPECT_EQ(*place_file(base::Context(), dir.path() / "blob", dir.path(), "b.gguf"),
            Placement::HardLink);
  EXPECT_EQ(*place_file(base::Context(), dir.path() / "blob", dir.path(), "b.gguf"),
            Placement::HardLink);
  EXPECT_EQ(*base::read_file(dir.path() / "a/b/c.gguf"), "content");
  EXPECT_EQ(*base::read_file(dir.path() / "b.gguf"), "content");
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path()))
    ++entries;
  EXPECT_EQ(entries, 3U) << "no temporary name stays behind";
}

TEST(PlaceFile, FollowsNoLinkOutOfTheFolder) {
  const TempDir dir;
  const TempDir outside;
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "blob", "content", 0444));
  std::filesystem::create_directory_symlink(outside.path(), dir.path() / "a");
  EXPECT_FALSE(place_file(base::Context(), dir.path() / "blob", dir.path(), "a/c.gguf"));
  EXPECT_TRUE(std::filesystem::is_empty(outside.path()));
}

TEST(PlaceFile, AcrossFileSystemsTheStoreKeepsTheOnlyCopy) {
  const TempDir dir;
  const std::filesystem::path memory = "/dev/shm";
  struct stat here{};
  struct stat there{};
  if (::stat(memory.c_str(), &there) != 0 || ::stat(dir.path().c_str(), &here) != 0 ||
      here.st_dev == there.st_dev)
    GTEST_SKIP() << "one file system only";
  const auto blob = memory / ("kaito-oci-" + base::random_name_suffix(10));
  ASSERT_TRUE(base::write_file_atomic(blob, "content", 0444));
  EXPECT_EQ(*place_file(base::Context(), blob, dir.path(), "c.gguf"), Placement::SymbolicLink);
  EXPECT_EQ(*base::read_file(dir.path() / "c.gguf"), "content");
  std::filesystem::remove(blob);
}

TEST(FormatParamSize, AsModelPackWritesIt) {
  EXPECT_EQ(format_param_size(0), "");
  EXPECT_EQ(format_param_size(134'515'008), "135m");
  EXPECT_EQ(format_param_size(6'740'000'000), "6.7b");
  EXPECT_EQ(format_param_size(7'000'000'000), "7b");
}

}  // namespace
}  // namespace oci
