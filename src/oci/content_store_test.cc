#include "oci/content_store.h"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "oci/failure.h"
#include "oci/layout.h"
#include "oci/test_support.h"

namespace oci {
namespace {

using base::ErrorCode;
using base::Status;

ContentStore store_in(const std::filesystem::path& root,
                      std::uint64_t free_bytes = std::uint64_t{1} << 40) {
  auto store = ContentStore::open(
      {root, [=](const auto&) -> base::Result<std::uint64_t> { return free_bytes; }});
  EXPECT_TRUE(store);
  return *std::move(store);
}

/// Serves `bytes` from the wanted offset in small parts.
ContentStore::Fetch serve(const std::string& bytes, std::size_t stop_at = std::string::npos) {
  return [&bytes, stop_at](std::uint64_t offset, const ContentStore::Take& take) -> Status {
    for (std::size_t at = offset; at < bytes.size(); at += 1000) {
      if (at >= stop_at) return base::Error(ErrorCode::Unavailable, "connection broken");
      TRY(take(std::string_view(bytes).substr(at, 1000)));
    }
    return {};
  };
}

TEST(ContentStore, StoresAVerifiedReadOnlyBlob) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(10'500);
  const Descriptor blob = descriptor_for(bytes);
  EXPECT_EQ(store.missing_bytes(blob), bytes.size());
  std::uint64_t last = 0;
  const auto path = store.ensure(base::Context(), blob, serve(bytes),
                                 [&](const Progress& p) { last = p.done_bytes; });
  ASSERT_TRUE(path) << path.error().message();
  EXPECT_EQ(*base::read_file(*path), bytes);
  EXPECT_EQ(last, bytes.size());
  struct stat info{};
  ASSERT_EQ(::stat(path->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0444U);
  EXPECT_TRUE(store.contains(blob));
  EXPECT_EQ(store.missing_bytes(blob), 0U);
  const auto again = store.ensure(
      base::Context(), blob,
      [](auto, const auto&) -> Status { return base::Error(ErrorCode::Internal, "asked again"); },
      {});
  EXPECT_TRUE(again);
}

TEST(ContentStore, GoesOnWhereABrokenDownloadStopped) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(10'500);
  const Descriptor blob = descriptor_for(bytes);
  const auto broken = store.ensure(base::Context(), blob, serve(bytes, 4000), {});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), ErrorCode::Unavailable);
  EXPECT_FALSE(store.contains(blob));
  EXPECT_EQ(store.missing_bytes(blob), 6500U);
  std::uint64_t resumed_at = 0;
  const auto path = store.ensure(base::Context(), blob,
                                 [&](std::uint64_t offset, const ContentStore::Take& take) {
                                   resumed_at = offset;
                                   return serve(bytes)(offset, take);
                                 },
                                 {});
  ASSERT_TRUE(path) << path.error().message();
  EXPECT_EQ(resumed_at, 4000U);
  EXPECT_EQ(*base::read_file(*path), bytes);
}

TEST(ContentStore, AlteredBytesAreNeverVisibleAndNotKept) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(5000);
  const Descriptor blob = descriptor_for(bytes);
  std::string altered = bytes;
  altered[2500] = static_cast<char>(altered[2500] ^ 1);
  const auto path = store.ensure(base::Context(), blob, serve(altered), {});
  ASSERT_FALSE(path);
  EXPECT_TRUE(is_digest_mismatch(path.error())) << path.error().message();
  EXPECT_FALSE(store.contains(blob));
  EXPECT_EQ(store.missing_bytes(blob), bytes.size());
  EXPECT_TRUE(store.ensure(base::Context(), blob, serve(bytes), {}));
}

TEST(ContentStore, AnAlteredPartialIsFoundOut) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(5000);
  const Descriptor blob = descriptor_for(bytes);
  const std::string partial = store.path_of(blob.digest).string() + ".partial";
  ASSERT_TRUE(base::write_file_atomic(partial, std::string(2000, 'x'), 0644));
  const auto path = store.ensure(base::Context(), blob, serve(bytes), {});
  ASSERT_FALSE(path);
  EXPECT_TRUE(is_digest_mismatch(path.error()));
  ASSERT_TRUE(base::write_file_atomic(partial, std::string(9000, 'x'), 0644));
  EXPECT_TRUE(store.ensure(base::Context(), blob, serve(bytes), {}))
      << "a partial file that is too long starts anew";
}

TEST(ContentStore, ManyPullersShareOneDownload) {
  const TempDir dir;
  const std::string bytes = sample_bytes(200'000);
  const Descriptor blob = descriptor_for(bytes);
  std::atomic<int> fetches = 0;
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> pullers;
    for (int i = 0; i < 4; ++i) {
      pullers.emplace_back([&] {
        ContentStore store = store_in(dir.path());
        const auto path = store.ensure(base::Context(), blob,
                                       [&](std::uint64_t offset, const ContentStore::Take& take) {
                                         ++fetches;
                                         return serve(bytes)(offset, take);
                                       },
                                       {});
        if (path && *base::read_file(*path) == bytes) ++good;
      });
    }
  }
  EXPECT_EQ(good, 4);
  EXPECT_EQ(fetches, 1);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(dir.path() / "blobs" / "sha256"))
    ++files;
  EXPECT_EQ(files, 1U) << "no partial file stays behind";
}

TEST(ContentStore, WaitingEndsWithTheContext) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(3000);
  const Descriptor blob = descriptor_for(bytes);
  const auto outer = store.ensure(
      base::Context(), blob,
      [&](std::uint64_t offset, const ContentStore::Take& take) -> Status {
        const auto inner = store.ensure(base::Context().with_timeout(std::chrono::milliseconds(5)),
                                        blob, serve(bytes), {});
        EXPECT_TRUE(!inner && inner.error().code() == ErrorCode::Timeout);
        return serve(bytes)(offset, take);
      },
      {});
  EXPECT_TRUE(outer);
}

TEST(ContentStore, AFullDiskIsToldBeforeTheDownload) {
  const TempDir dir;
  ContentStore store = store_in(dir.path(), 1000);
  const std::string bytes = sample_bytes(5000);
  const auto path = store.ensure(
      base::Context(), descriptor_for(bytes),
      [](auto, const auto&) -> Status { return base::Error(ErrorCode::Internal, "fetched"); }, {});
  ASSERT_FALSE(path);
  EXPECT_TRUE(is_disk_full(path.error())) << path.error().message();
  EXPECT_NE(path.error().message().find("have 1000 B"), std::string::npos)
      << path.error().message();
}

TEST(ContentStore, ABlobThatIsTooShortIsNotWhole) {
  const TempDir dir;
  ContentStore store = store_in(dir.path());
  const std::string bytes = sample_bytes(5000);
  const auto path = store.ensure(base::Context(), descriptor_for(bytes),
                                 [&](std::uint64_t, const ContentStore::Take& take) {
                                   return take(std::string_view(bytes).substr(0, 4999));
                                 },
                                 {});
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code(), ErrorCode::Unavailable);
}

TEST(Layout, MakesAndReadsAnImageLayout) {
  const TempDir dir;
  auto layout = Layout::open_or_create(dir.path() / "layout");
  ASSERT_TRUE(layout) << layout.error().message();
  const auto digest = layout->write_blob("hello");
  ASSERT_TRUE(digest);
  Index index = *layout->read_index();
  EXPECT_TRUE(index.manifests.empty());
  index.manifests.push_back(descriptor_for("hello"));
  index.manifests[0].annotations[std::string(annotation::kRefName)] = "a:b";
  ASSERT_TRUE(layout->write_index(index));
  const auto again = Layout::open_or_create(dir.path() / "layout");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->read_index()->manifests, index.manifests);
  EXPECT_EQ(*again->read_blob(*digest, 100), "hello");
  EXPECT_EQ(again->list_blobs().size(), 1U);
}

TEST(Layout, RefusesAnotherVersionAndABrokenIndex) {
  const TempDir dir;
  ASSERT_TRUE(Layout::open_or_create(dir.path()));
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "index.json",
                                      "{\"schemaVersion\":2,\"manifests\":[{}", 0644));
  EXPECT_FALSE(Layout::open_or_create(dir.path()));
  ASSERT_TRUE(
      base::write_file_atomic(dir.path() / "oci-layout", R"({"imageLayoutVersion":"2.0"})", 0644));
  EXPECT_FALSE(Layout::open_or_create(dir.path()));
}

}  // namespace
}  // namespace oci
