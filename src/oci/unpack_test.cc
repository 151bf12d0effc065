#include "oci/unpack.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"
#include "oci/tar_writer.h"
#include "oci/test_support.h"

namespace oci {
namespace {

using ::testing::HasSubstr;

class Unpack : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_); }

  LayerFile layer(const std::string& bytes) {
    const auto path = dir_.path() / fmt::format("layer{}", layers_++);
    EXPECT_TRUE(base::write_file_atomic(path, bytes, 0644));
    return {path, fmt::format("sha256:{}", layers_)};
  }
  base::Result<Unpacked> unpack(const std::vector<TarBuilder>& layers, UnpackOptions options = {}) {
    std::vector<LayerFile> files;
    for (const TarBuilder& tar : layers) files.push_back(layer(tar.finish()));
    return unpack_layers(base::Context(), files, root_, options, {});
  }
  /// The message of a refusal.
  std::string refused(const TarBuilder& tar, UnpackOptions options = {}) {
    const auto unpacked = unpack({tar}, std::move(options));
    EXPECT_FALSE(unpacked);
    return unpacked ? std::string() : unpacked.error().message();
  }
  std::string content(const std::string& path) {
    const auto text = base::read_file(root_ / path);
    return text ? *text : "(none)";
  }
  bool there(const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(root_ / path));
  }
  static UnpackOptions only(std::vector<std::string> folders) {
    UnpackOptions options;
    options.folders = std::move(folders);
    return options;
  }

  const TempDir dir_;
  const std::filesystem::path root_ = dir_.path() / "root";
  int layers_ = 0;
};

TEST_F(Unpack, LaterLayersReplaceAndRemove) {
  const auto unpacked = unpack(
      {TarBuilder().folder("d").file("d/a", "1").file("d/b", "1").file("e/x", "1").file("f", "1"),
       TarBuilder().file("d/a", "2").file("d/.wh.b", "").file("e", "now a file").file(".wh.f", ""),
       TarBuilder().file("./d/c", "3")});
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(content("d/a"), "2");
  EXPECT_FALSE(there("d/b"));
  EXPECT_EQ(content("d/c"), "3");
  EXPECT_EQ(content("e"), "now a file");
  EXPECT_FALSE(there("f"));
  EXPECT_FALSE(there("d/.wh.b"));
}

TEST_F(Unpack, OpaqueFoldersHideLowerLayersOnly) {
  // New entries come before and after the mark: both stay.
  const auto unpacked = unpack(
      {TarBuilder().file("d/old", "1").file("d/sub/old", "1"), TarBuilder()
                                                                   .file("d/before", "2")
                                                                   .folder("d/sub")
                                                                   .file("d/.wh..wh..opq", "")
                                                                   .file("d/after", "2")});
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_FALSE(there("d/old"));
  EXPECT_FALSE(there("d/sub/old"));
  EXPECT_TRUE(there("d/sub"));
  EXPECT_EQ(content("d/before"), "2");
  EXPECT_EQ(content("d/after"), "2");
}

TEST_F(Unpack, AWhiteoutSparesWhatItsOwnLayerWrote) {
  const auto unpacked =
      unpack({TarBuilder().file("a", "1"), TarBuilder().file("a", "2").file(".wh.a", "")});
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(content("a"), "2");
}

TEST_F(Unpack, LandsTheFirstFolderThatHoldsSomething) {
  const auto unpacked = unpack(
      {TarBuilder().file("bin/sh", "x").folder("data").file("workspace/llama/7b/weights/w", "w")},
      only({"data", "workspace/llama/*/weights"}));
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(unpacked->folder, root_ / "workspace/llama/7b/weights");
  EXPECT_EQ(content("workspace/llama/7b/weights/w"), "w");
  EXPECT_FALSE(there("bin"));
  EXPECT_EQ(unpacked->files, 1U);
}

TEST_F(Unpack, SaysWhatIsThereWhenTheFolderIsNot) {
  const auto unpacked =
      unpack({TarBuilder().file("bin/sh", "x").file("etc/y", "")}, only({"data"}));
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code(), base::ErrorCode::NotFound);
  EXPECT_THAT(unpacked.error().message(),
              HasSubstr("no files in /data; at its top are: /bin, /etc"));
}

TEST_F(Unpack, WhiteoutsAboveTheFolderCount) {
  const auto unpacked = unpack({TarBuilder().file("data/a", "1"), TarBuilder().file(".wh.data", ""),
                                TarBuilder().file("data/b", "2")},
                               only({"data"}));
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_FALSE(there("data/a"));
  EXPECT_EQ(content("data/b"), "2");
}

TEST_F(Unpack, RefusesNamesThatLeaveTheImage) {
  for (const char* name : {"../a", "d/../../a", "a/..", ".."})
    EXPECT_THAT(refused(TarBuilder().file(name, "x")), HasSubstr("leaves the image")) << name;
  EXPECT_TRUE(std::filesystem::is_empty(root_));
  EXPECT_THAT(refused(TarBuilder().file("d/.wh...", "")), HasSubstr("whiteout of nothing"));
  const auto absolute = unpack({TarBuilder().file("/etc/x", "x")});
  ASSERT_TRUE(absolute) << "absolute names are taken from the image's root";
  EXPECT_EQ(content("etc/x"), "x");
}

TEST_F(Unpack, NeverWritesThroughLinks) {
  const auto outside = dir_.path() / "outside";
  std::filesystem::create_directories(outside);
  const std::string message =
      refused(TarBuilder().symbolic_link("d", outside.string()).file("d/a", "x"));
  EXPECT_THAT(message, HasSubstr("\"d\" on its way is not a folder"));
  EXPECT_THAT(message, HasSubstr("entry \"d/a\""));
  EXPECT_TRUE(std::filesystem::is_empty(outside));
  // A link is replaced by a file of its name, not written through.
  ASSERT_TRUE(base::write_file_atomic(outside / "victim", "old", 0644));
  const auto replaced =
      unpack({TarBuilder().symbolic_link("l", (outside / "victim").string()).file("l", "new")});
  ASSERT_TRUE(replaced) << replaced.error().message();
  EXPECT_EQ(*base::read_file(outside / "victim"), "old");
  EXPECT_EQ(content("l"), "new");
}

TEST_F(Unpack, RefusesLinksThatLeadOut) {
  EXPECT_THAT(refused(TarBuilder().symbolic_link("l", "../x")), HasSubstr("leads out"));
  // Each link is harmless by its text; only together they lead out.
  EXPECT_THAT(refused(TarBuilder()
                          .folder("a/b")
                          .symbolic_link("a/b/up", "../..")
                          .symbolic_link("l", "a/b/up/../etc")),
              HasSubstr("\"l\": the symbolic link leads out"));
  EXPECT_THAT(
      refused(
          TarBuilder().file("etc/x", "x").symbolic_link("data/l", "../etc/x").file("data/a", ""),
          only({"data"})),
      HasSubstr("leads out of the unpacked folder"));
}

TEST_F(Unpack, LinksWithinTheFolderStay) {
  const auto unpacked = unpack({TarBuilder()
                                    .file("data/sub/a", "x")
                                    .symbolic_link("data/relative", "sub/a")
                                    .symbolic_link("data/absolute", "/data/sub/a")
                                    .symbolic_link("data/sub/above", "/data/./sub/../sub/a")
                                    .hard_link("data/hard", "data/sub/a")
                                    .symbolic_link("data/nowhere", "none")},
                               only({"data"}));
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  for (const char* link : {"data/relative", "data/absolute", "data/sub/above", "data/hard"})
    EXPECT_EQ(content(link), "x") << link;
  // Links still hold when the folder is moved elsewhere.
  std::filesystem::rename(root_ / "data", root_ / "moved");
  EXPECT_EQ(content("moved/absolute"), "x");
}

TEST_F(Unpack, RefusesHardLinksToTheOutside) {
  EXPECT_THAT(refused(TarBuilder().hard_link("a", "../../etc/passwd")),
              HasSubstr("leaves the image"));
  EXPECT_THAT(refused(TarBuilder().hard_link("a", "none")), HasSubstr("is not there"));
  EXPECT_THAT(refused(TarBuilder().symbolic_link("l", "x").hard_link("a", "l")),
              HasSubstr("not a plain file"));
  EXPECT_THAT(refused(TarBuilder().file("etc/x", "x").hard_link("data/a", "etc/x"), only({"data"})),
              HasSubstr("not in the folder"));
}

TEST_F(Unpack, RefusesDevicesAndDropsSetuid) {
  for (const char type : {'3', '4', '6'})
    EXPECT_THAT(refused(TarBuilder().entry("dev/x", type, "", 0666)), HasSubstr("device"));
  const auto unpacked =
      unpack({TarBuilder().file("s", "x", 06755).folder("d", 03000).file("d/y", "y", 0)});
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  struct stat info{};
  ASSERT_EQ(::stat((root_ / "s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
  ASSERT_EQ(::stat((root_ / "d").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat((root_ / "d/y").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
}

TEST_F(Unpack, BoundsWhatAnImageMayHold) {
  UnpackOptions small;
  small.max_bytes = 10;
  EXPECT_THAT(refused(TarBuilder().file("a", "12345").file("b", "123456"), small),
              HasSubstr("entry \"b\": the image unpacks to more than 10 B"));
  EXPECT_THAT(refused(TarBuilder().claim("huge", std::uint64_t{1} << 32), small),
              HasSubstr("more than"));
  UnpackOptions few;
  few.max_entries = 2;
  EXPECT_THAT(refused(TarBuilder().file("a", "").file("b", "").file("c", ""), few),
              HasSubstr("more than 2 entries"));
}

TEST_F(Unpack, RefusesBrokenArchives) {
  const std::string whole = TarBuilder().file("a", sample_bytes(5000)).finish();
  for (const std::string& bytes :
       {std::string("not an archive at all, but long enough to look at").append(600, 'x'),
        whole.substr(0, 2000), std::string("\x1f\x8b\x08", 3),
        std::string("\x28\xb5\x2f\xfd", 4)}) {
    const auto unpacked = unpack_layers(base::Context(), {layer(bytes)}, root_, {}, {});
    ASSERT_FALSE(unpacked);
    EXPECT_EQ(unpacked.error().code(), base::ErrorCode::Invalid) << unpacked.error().message();
    EXPECT_THAT(unpacked.error().message(), HasSubstr("layer sha256:"));
  }
}

/// The layer of a folder that TarWriter packs.
std::string packed(const TempDir& dir, const std::string& content, Compression compression) {
  EXPECT_TRUE(base::write_file_atomic(dir.path() / "content", content, 0644));
  const auto path = dir.path() / "packed";
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  auto writer = *TarWriter::create(fd.get(), compression);
  EXPECT_TRUE(writer.add_folder("data"));
  EXPECT_TRUE(writer.add_file(base::Context(), "data/file", dir.path() / "content", {}));
  const auto written = writer.finish();
  EXPECT_TRUE(written);
  const std::string bytes = *base::read_file(path, 1 << 30);
  EXPECT_EQ(written->packed, Digest::of(bytes));
  EXPECT_EQ(written->packed_bytes, bytes.size());
  return bytes;
}

TEST_F(Unpack, ReadsEveryCompression) {
  const std::string text = sample_bytes(3'000'000);
  for (const auto compression : {Compression::None, Compression::Gzip, Compression::Zstd}) {
    const TempDir scratch;
    const std::string bytes = packed(scratch, text, compression);
    const auto unpacked = unpack_layers(base::Context(), {layer(bytes)}, root_, only({"data"}), {});
    ASSERT_TRUE(unpacked) << unpacked.error().message();
    EXPECT_EQ(content("data/file"), text);
    if (compression == Compression::None) continue;
    const auto cut = unpack_layers(base::Context(), {layer(bytes.substr(0, bytes.size() / 2))},
                                   root_, only({"data"}), {});
    EXPECT_FALSE(cut) << "half a layer is refused";
  }
}

TEST_F(Unpack, StopsBombs) {
  const TempDir scratch;
  const std::string bomb = packed(scratch, std::string(300 << 20, '\0'), Compression::Zstd);
  ASSERT_LT(bomb.size(), 1U << 20);
  for (const char* folder : {"data", "elsewhere"}) {
    const auto unpacked = unpack_layers(base::Context(), {layer(bomb)}, root_, only({folder}), {});
    ASSERT_FALSE(unpacked);
    EXPECT_THAT(unpacked.error().message(), HasSubstr("times its size")) << folder;
  }
}

}  // namespace
}  // namespace oci
