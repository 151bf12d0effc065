#include "oci/manifest.h"

#include <gtest/gtest.h>

#include "oci/limits.h"

namespace oci {
namespace {

const std::string kD = Digest::of("x").text();

std::string manifest_text(const std::string& more = "", const std::string& layers = "[]") {
  return R"({"schemaVersion":2,"config":{"mediaType":"a/b","digest":")" + kD +
         R"(","size":1},"layers":)" + layers + more + "}";
}

TEST(Digest, OnlySha256InLowerCase) {
  EXPECT_TRUE(Digest::parse(kD));
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), kD + "0", kD.substr(0, 70),
        std::string("sha512:") + std::string(128, 'a'), "SHA256:" + kD.substr(7),
        "sha256:" + std::string(64, 'A'), "sha256:../" + std::string(61, 'a')}) {
    EXPECT_FALSE(Digest::parse(bad)) << bad;
  }
  EXPECT_EQ(Digest::of("").text(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(DecodeManifest, TellsManifestsFromIndexes) {
  const auto image = decode_manifest(manifest_text(), "");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(std::get<Manifest>(*image).media_type, media_type::kOciManifest);
  const auto index =
      decode_manifest(R"({"schemaVersion":2,"manifests":[]})", media_type::kDockerList);
  ASSERT_TRUE(index);
  EXPECT_EQ(std::get<Index>(*index).media_type, media_type::kDockerList);
}

TEST(DecodeManifest, RefusesWhatTwoReadersCouldReadDifferently) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", ""},
      {"[]", ""},
      {"{}", ""},
      {R"({"schemaVersion":1})", ""},
      {R"({"schemaVersion":2})", ""},
      {manifest_text(R"(,"manifests":[])"), ""},
      {manifest_text(R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"), ""},
      {manifest_text(R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"),
       std::string(media_type::kOciManifest)},
      {manifest_text(R"(,"mediaType":"text/plain")"), ""},
      {manifest_text(), std::string(media_type::kOciIndex)},
      {manifest_text("", R"([{"mediaType":"a/b","digest":"sha256:12","size":1}])"), ""},
      {manifest_text("", R"([{"mediaType":"a/b","size":1}])"), ""},
      {manifest_text("", R"([{"mediaType":"a/b","digest":")" + kD + R"(","size":-1}])"), ""},
      {manifest_text("", R"([{"mediaType":"a/b","digest":")" + kD + R"(","size":"1"}])"), ""},
      {manifest_text("", "{}"), ""},
      {manifest_text(R"(,"subject":{"mediaType":"a/b"})"), ""},
  };
  for (const auto& [text, type] : table) {
    const auto decoded = decode_manifest(text, type);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code(), base::ErrorCode::Invalid) << text;
  }
  std::string many = "[";
  for (std::size_t i = 0; i <= kMaxDescriptors; ++i)
    many +=
        (i ? "," : "") + std::string(R"({"mediaType":"a/b","digest":")") + kD + R"(","size":1})";
  EXPECT_FALSE(decode_manifest(manifest_text("", many + "]"), ""));
}

TEST(DecodeManifest, ForeignLayersAreNoChildren) {
  const auto decoded =
      decode_manifest(manifest_text("", R"([{"mediaType":"a/b","digest":")" + kD +
                                            R"(","size":1,"urls":["https://x"]}])"),
                      "");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(children_of(*decoded).size(), 1U);
}

}  // namespace
}  // namespace oci
