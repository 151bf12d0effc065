#include "oci/image_writer.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "oci/image_files.h"
#include "oci/test_support.h"
#include "oci/unpack.h"

namespace oci {
namespace {

using ::testing::HasSubstr;

class ImageWriter : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& content) {
    const auto file = folder_ / path;
    std::filesystem::create_directories(file.parent_path());
    EXPECT_TRUE(base::write_file_atomic(file, content, 0600));
  }
  const TempDir dir_;
  const std::filesystem::path folder_ = dir_.path() / "source";
};

TEST_F(ImageWriter, AnAdapterLooksLikeUpstreams) {
  write("adapter_config.json", "{}");
  write("adapter_model.safetensors", sample_bytes(100'000));
  write("checkpoint/state", "not part of it");
  const auto image = pack_adapter(base::Context(), folder_, "phi-3-mini-4k-instruct", {}, {});
  ASSERT_TRUE(image) << image.error().message();
  const auto manifest = std::get<Manifest>(*image->manifest.decode());
  EXPECT_EQ(manifest.config.media_type, "application/vnd.oci.image.config.v1+json");
  ASSERT_EQ(manifest.layers.size(), 1U);
  EXPECT_EQ(manifest.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
  EXPECT_EQ(manifest.annotations.at("sh.kaito.model.name"), "phi-3-mini-4k-instruct");
  EXPECT_THAT(image->config, HasSubstr(R"({"rootfs":{"diff_ids":["sha256:)"));
  EXPECT_EQ(classify_image(manifest)->form, ImageForm::Container);

  const auto root = dir_.path() / "root";
  std::filesystem::create_directories(root);
  UnpackOptions options;
  options.folders = {"data"};
  const auto unpacked =
      unpack_layers(base::Context(), {{image->layers[0].file, "it"}}, root, options, {});
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(unpacked->files, 2U);
  EXPECT_EQ(*base::read_file(root / "data/adapter_model.safetensors"), sample_bytes(100'000));

  const auto again = pack_adapter(base::Context(), folder_, "phi-3-mini-4k-instruct", {}, {});
  EXPECT_EQ(again->manifest.digest, image->manifest.digest) << "the same files, the same digest";
}

TEST_F(ImageWriter, AnIncompleteAdapterIsRefused) {
  write("adapter_config.json", "{}");
  const auto image = pack_adapter(base::Context(), folder_, "", {}, {});
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message(), HasSubstr("holds no adapter_model.safetensors"));
}

TEST_F(ImageWriter, FilesTravelAsTheyAre) {
  write("model.safetensors", sample_bytes(5000));
  write("sub/tokenizer.json", "{}");
  write(".cache/note", "left out");
  for (const auto form : {FilesForm::Artifact, FilesForm::ModelPack}) {
    PackFilesOptions options;
    options.form = form;
    options.name = "tiny";
    const auto packed = pack_files(base::Context(), folder_, options, {});
    ASSERT_TRUE(packed) << packed.error().message();
    EXPECT_EQ(packed->layers.size(), 2U);
    const auto image = classify_image(std::get<Manifest>(*packed->manifest.decode()));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(image->form,
              form == FilesForm::Artifact ? ImageForm::Artifact : ImageForm::ModelPack);
    ASSERT_EQ(image->files.size(), 2U);
    EXPECT_EQ(image->files[1].path, "sub/tokenizer.json");
    EXPECT_EQ(image->files[0].blob.digest, Digest::of(sample_bytes(5000)));
  }
}

TEST_F(ImageWriter, RefusesWhatCannotTravel) {
  std::filesystem::create_directories(folder_);
  EXPECT_THAT(pack_folder(base::Context(), folder_, {}, {}).error().message(),
              HasSubstr("holds no files"));
  std::filesystem::create_symlink("nowhere", folder_ / "dangling");
  EXPECT_THAT(pack_folder(base::Context(), folder_, {}, {}).error().message(),
              HasSubstr("neither a file nor a folder"));
  EXPECT_EQ(pack_folder(base::Context(), dir_.path() / "none", {}, {}).error().code(),
            base::ErrorCode::NotFound);
}

}  // namespace
}  // namespace oci
