#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "net/http_server.h"
#include "oci/image_copy.h"
#include "oci/image_files.h"
#include "oci/image_writer.h"
#include "oci/registry_client.h"
#include "registry/test_support.h"

/// Images of every kind through this registry: what is packed, pushed, copied and landed.
namespace registry {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

base::Context soon() { return base::Context().with_timeout(std::chrono::seconds(20)); }

class Images : public RegistryFixture {
 protected:
  oci::Reference ref(const std::string& name) {
    return *oci::Reference::parse(registry_->domain() + "/" + name);
  }
  std::filesystem::path folder(const std::string& name) { return dir_.path() / name; }
  void write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(folder(path).parent_path());
    ASSERT_TRUE(base::write_file_atomic(folder(path), content, 0644));
  }
  std::string content(const std::string& path) {
    return base::read_file(folder(path)).value_or("(none)");
  }
  /// Packs what lies below `source` as layers, the first folder lowest, and pushes the image.
  oci::Digest push(const std::string& name, const std::vector<std::string>& sources,
                   oci::Compression compression = oci::Compression::Gzip) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    for (const std::string& source : sources) {
      oci::PackFolderOptions options;
      options.image_folder = "";
      options.compression = compression;
      const auto packed = oci::pack_folder(soon(), folder(source), options, {});
      EXPECT_TRUE(packed) << packed.error().message();
      EXPECT_TRUE(oci::push_image(soon(), *client_, ref(name), *packed, {}));
      const auto one = std::get<oci::Manifest>(*packed->manifest.decode());
      manifest.config = one.config;
      manifest.layers.push_back(one.layers.front());
    }
    oci::RawManifest raw;
    raw.media_type = manifest.media_type;
    raw.bytes = json::dump(json::encode(manifest));
    raw.digest = oci::Digest::of(raw.bytes);
    EXPECT_TRUE(client_->put_manifest(soon(), ref(name), raw));
    return raw.digest;
  }
  base::Result<oci::PulledImage> pull(const std::string& name, const std::string& to,
                                      oci::PullOptions options = {}) {
    return oci::pull_image(soon(), *client_, ref(name), folder(to), options, {});
  }

  std::unique_ptr<oci::RegistryClient> client_ = [] {
    oci::RegistryClient::Options options;
    options.backoff_first = std::chrono::milliseconds(1);
    options.max_attempts = 3;
    return *oci::RegistryClient::create(std::move(options));
  }();
};

TEST_F(Images, AnAdapterComesBackAsItWas) {
  write("adapter/adapter_config.json", "{}");
  write("adapter/adapter_model.safetensors", sample_bytes(1'000'000));
  for (const auto compression :
       {oci::Compression::None, oci::Compression::Gzip, oci::Compression::Zstd}) {
    oci::PackFolderOptions options;
    options.compression = compression;
    const auto packed = oci::pack_adapter(soon(), folder("adapter"), "phi", options, {});
    ASSERT_TRUE(packed) << packed.error().message();
    ASSERT_TRUE(oci::push_image(soon(), *client_, ref("a:1"), *packed, {}));
    const auto pulled = pull("a:1", "out");
    ASSERT_TRUE(pulled) << pulled.error().message();
    EXPECT_THAT(pulled->files, ElementsAre("adapter_config.json", "adapter_model.safetensors"));
    EXPECT_EQ(content("out/adapter_model.safetensors"), sample_bytes(1'000'000));
    EXPECT_FALSE(std::filesystem::exists(folder("out/.kaito-partial")));
  }
}

TEST_F(Images, WeightsOfOldModelImagesLandWithoutTheRest) {
  write("base/bin/sh", "not wanted");
  write("base/workspace/tfs/weights/old.bin", "1");
  write("top/workspace/tfs/weights/config.json", "{}");
  push("kaito-falcon:0.1", {"base", "top"});
  oci::PullOptions options;
  options.content = oci::ImageContent::Model;
  const auto pulled = pull("kaito-falcon:0.1", "out", options);
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_THAT(pulled->files, ElementsAre("config.json", "old.bin"));
  EXPECT_FALSE(std::filesystem::exists(folder("out/bin")));
  options.content = oci::ImageContent::Data;
  const auto none = pull("kaito-falcon:0.1", "data", options);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("no files in /data; at its top are: /bin"));
}

TEST_F(Images, AKilledUnpackIsNotTakenForAWholeOne) {
  write("source/data/a", "whole");
  push("d:1", {"source"});
  // What a pull that was killed while it unpacked leaves.
  write("out/.kaito-partial/root/data/a", "half");
  write("out/.kaito-partial/root/data/stale", "x");
  write("out/kept", "of somebody else");
  EXPECT_FALSE(std::filesystem::exists(folder("out/.kaito-image.json")));
  const auto pulled = pull("d:1", "out");
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(content("out/a"), "whole");
  EXPECT_FALSE(std::filesystem::exists(folder("out/stale")));
  EXPECT_EQ(content("out/kept"), "of somebody else");
  EXPECT_THAT(content("out/.kaito-image.json"), HasSubstr(pulled->image.reference.digest->text()));
}

TEST_F(Images, AFailedPullLeavesNoMarker) {
  write("source/data/a", sample_bytes(100'000));
  push("d:1", {"source"});
  ASSERT_TRUE(pull("d:1", "out"));
  write("source/data/b", sample_bytes(100'000));
  push("d:2", {"source"});
  const auto image = oci::inspect_image(soon(), *client_, ref("d:2"));
  const auto blob =
      dir_.path() / "registry/blobs/sha256" / image->manifest.layers.at(0).digest.hex();
  std::string altered = *base::read_file(blob);
  altered[500] = static_cast<char>(altered[500] ^ 1);
  ASSERT_TRUE(base::write_file_atomic(blob, altered, 0644));
  EXPECT_FALSE(pull("d:2", "out"));
  EXPECT_FALSE(std::filesystem::exists(folder("out/.kaito-image.json")));
}

TEST_F(Images, TwoPullersOfOneImageDownloadItOnce) {
  write("source/data/a", sample_bytes(2'000'000));
  push("d:1", {"source"}, oci::Compression::None);
  auto store = *oci::ContentStore::open({folder("store"), {}});
  oci::PullOptions options;
  options.store = &store;
  std::vector<std::uint64_t> downloaded(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < downloaded.size(); ++i)
      threads.emplace_back([&, i] {
        // Half of them share a destination as well.
        const auto pulled = pull("d:1", i < 2 ? "same" : "out" + std::to_string(i), options);
        ASSERT_TRUE(pulled) << pulled.error().message();
      });
  }
  for (const char* name : {"same/a", "out2/a", "out3/a"})
    EXPECT_EQ(content(name), sample_bytes(2'000'000)) << name;
  std::size_t blobs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder("store/blobs/sha256"))) {
    EXPECT_NE(entry.path().extension(), ".partial");
    ++blobs;
  }
  EXPECT_EQ(blobs, 1U);
}

TEST_F(Images, AnIndexGivesTheImageForThisMachine) {
  write("source/data/a", "x");
  const auto digest = push("d:linux", {"source"});
  const auto raw = client_->get_manifest(soon(), ref("d:linux"));
  oci::Index index;
  index.media_type = oci::media_type::kOciIndex;
  index.manifests = {raw->descriptor(), raw->descriptor()};
  index.manifests[0].platform = oci::Platform{"arm64", "linux", "v8"};
  index.manifests[1].platform = oci::Platform{"amd64", "linux", ""};
  const auto put = [&](const std::string& tag) {
    oci::RawManifest bytes;
    bytes.media_type = index.media_type;
    bytes.bytes = json::dump(json::encode(index));
    bytes.digest = oci::Digest::of(bytes.bytes);
    EXPECT_TRUE(client_->put_manifest(soon(), ref(tag), bytes));
    return bytes;
  };
  put("d:index");
  EXPECT_EQ(*oci::inspect_image(soon(), *client_, ref("d:index"))->reference.digest, digest);
  index.manifests.resize(1);
  auto bytes = put("d:arm");
  EXPECT_THAT(oci::inspect_image(soon(), *client_, ref("d:arm")).error().message(),
              HasSubstr("it offers: linux/arm64"));
  for (int depth = 0; depth < 4; ++depth) {
    index.manifests = {bytes.descriptor()};
    bytes = put("d:deep");
  }
  EXPECT_THAT(oci::inspect_image(soon(), *client_, ref("d:deep")).error().message(),
              HasSubstr("nested more than"));
}

TEST_F(Images, CopiesKeepTheDigestAndMoveNothingTwice) {
  write("source/data/a", sample_bytes(300'000));
  const auto digest = push("d:1", {"source"});
  for (const char* target : {"team/copy:1", "team/copy:2"}) {
    const auto copied =
        oci::copy_image(soon(), *client_, ref("d:1"), ref(target), folder("scratch"), {});
    ASSERT_TRUE(copied) << copied.error().message();
    EXPECT_EQ(copied->digest, digest);
    EXPECT_EQ(client_->resolve(soon(), ref(target))->digest, digest);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder("scratch/blobs/sha256"))) << "they were mounted";

  Registry::Options options;
  options.root = folder("registry2");
  const auto other = *Registry::create(std::move(options));
  const auto there = *oci::Reference::parse(other->domain() + "/d:1");
  const auto copied = oci::copy_image(soon(), *client_, ref("d:1"), there, folder("scratch"), {});
  ASSERT_TRUE(copied) << copied.error().message();
  EXPECT_EQ(client_->resolve(soon(), there)->digest, digest);
}

TEST_F(Images, AskingForTheRightToPushLeavesNothing) {
  EXPECT_TRUE(client_->check_push(soon(), ref("a:1")));
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder("registry"), error))
    EXPECT_EQ(entry.path().string().find("upload-"), std::string::npos) << entry.path();
  const auto nobody = *oci::Reference::parse("127.0.0.1:1/a:1");
  EXPECT_EQ(client_->check_push(soon(), nobody).error().code(), ErrorCode::Unavailable);
}

TEST_F(Images, ANodesStoreIsCollectedBySizeAndAge) {
  auto store = *oci::ContentStore::open({folder("store"), {}});
  oci::PullOptions options;
  options.store = &store;
  for (const char* name : {"old", "young"}) {
    write(fmt::format("{}/data/{}", name, name), sample_bytes(100'000));
    push(fmt::format("{}:1", name), {name}, oci::Compression::None);
    ASSERT_TRUE(pull(fmt::format("{}:1", name), fmt::format("{}-out", name), options));
  }
  write("files/model.bin", sample_bytes(50'000));
  const auto packed = *oci::pack_files(soon(), folder("files"), {}, {});
  ASSERT_TRUE(oci::push_image(soon(), *client_, ref("files:1"), packed, {}));
  ASSERT_TRUE(pull("files:1", "files-out", options));
  const auto layer = [&](const char* name) {
    return store.path_of(
        oci::inspect_image(soon(), *client_, ref(name))->manifest.layers.at(0).digest);
  };
  const auto age = [](const std::filesystem::path& path, int hours) {
    std::filesystem::last_write_time(
        path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  age(layer("old:1"), 5);
  age(layer("young:1"), 2);
  age(layer("files:1"), 9);

  oci::ContentStore::CollectOptions collect;
  collect.dry_run = true;
  collect.max_age = std::chrono::hours(1);
  EXPECT_EQ(store.collect(soon(), collect)->removed, 2U) << "the linked file stays";
  EXPECT_TRUE(std::filesystem::exists(layer("old:1")));
  collect.dry_run = false;
  collect.max_age = {};
  collect.max_bytes = 180'000;
  const auto by_size = store.collect(soon(), collect);
  ASSERT_TRUE(by_size);
  EXPECT_EQ(by_size->removed, 1U) << "the longest unused goes, and no more than needed";
  EXPECT_FALSE(std::filesystem::exists(layer("old:1")));
  EXPECT_TRUE(std::filesystem::exists(layer("young:1")));

  // Mapped by a process, then by none.
  collect.max_bytes = 0;
  collect.max_age = std::chrono::hours(1);
  {
    const base::UniqueFd held(::open(layer("young:1").c_str(), O_RDONLY | O_CLOEXEC));
    void* const map = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, held.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
    EXPECT_EQ(store.collect(soon(), collect)->removed, 0U);
    ::munmap(map, 4096);
  }
  {
    const auto hold = store.hold(soon());
    const auto waiting =
        store.collect(base::Context().with_timeout(std::chrono::milliseconds(50)), collect);
    ASSERT_FALSE(waiting) << "a pull is at work";
    EXPECT_EQ(waiting.error().code(), ErrorCode::Timeout);
  }
  EXPECT_EQ(store.collect(soon(), collect)->removed, 1U);
  EXPECT_FALSE(std::filesystem::exists(layer("young:1")));
  ASSERT_TRUE(pull("young:1", "again", options)) << "what is gone is downloaded again";
}

/// A server of one blob, for clients to fetch directly.
struct BlobServer {
  explicit BlobServer(std::string content) : bytes(std::move(content)) {
    server =
        *net::HttpServer::create({}, [this](const base::Context& ctx, net::HttpExchange& exchange) {
          ++requests;
          serve(ctx, exchange);
        });
  }
  void serve(const base::Context& ctx, net::HttpExchange& exchange) {
    net::HttpResponse response;
    if (trickles) {
      (void)exchange.start_stream(std::move(response));
      while (exchange.write("x") && ctx.sleep(std::chrono::milliseconds(20))) {
      }
      return;
    }
    const std::string range(exchange.request().headers.get_or("range", ""));
    std::size_t begin = 0;
    std::size_t end = bytes.size() - 1;
    if (ranges && std::sscanf(range.c_str(), "bytes=%zu-%zu", &begin, &end) >= 1) {
      response.status = 206;
      response.headers.set("Content-Range",
                           fmt::format("bytes {}-{}/{}", begin, end, bytes.size()));
    }
    // Every fifth answer breaks off.
    if (breaks && requests % 5 == 0) end = begin + (end - begin) / 2;
    response.body = bytes.substr(begin, end - begin + 1);
    (void)exchange.respond(std::move(response));
  }
  oci::Reference ref() const {
    return *oci::Reference::parse(fmt::format("127.0.0.1:{}/a:1", server->port()));
  }

  const std::string bytes;
  std::atomic<int> requests = 0;
  bool ranges = true;
  bool trickles = false;
  bool breaks = false;
  std::unique_ptr<net::HttpServer> server;
};

std::unique_ptr<oci::RegistryClient> quick_client(oci::RegistryClient::Options options = {}) {
  options.backoff_first = std::chrono::milliseconds(1);
  options.max_attempts = 3;
  return *oci::RegistryClient::create(std::move(options));
}

base::Result<std::string> fetch(oci::RegistryClient& client, const BlobServer& server,
                                std::uint64_t offset = 0) {
  std::string got;
  const auto fetched = client.fetch_blob(soon(), server.ref(), descriptor_for(server.bytes), offset,
                                         [&](std::string_view part) -> base::Status {
                                           got += part;
                                           return {};
                                         });
  if (!fetched) return fetched.error();
  return got;
}

TEST(BlobDownload, LargeBlobsComeInPartsAndInOrder) {
  BlobServer server(sample_bytes(41'000'001));
  const auto client = quick_client();
  EXPECT_TRUE(*fetch(*client, server) == server.bytes);
  EXPECT_GE(server.requests, 10);
  server.breaks = true;
  EXPECT_TRUE(*fetch(*client, server, 1234) == server.bytes.substr(1234));
  server.requests = 0;
  server.breaks = false;
  server.ranges = false;
  EXPECT_TRUE(*fetch(*client, server) == server.bytes) << "a registry without ranges";
  EXPECT_TRUE(*fetch(*client, server, 40'000'000) == server.bytes.substr(40'000'000));
}

TEST(BlobDownload, AnErrorOfTheTakerEndsIt) {
  const BlobServer server(sample_bytes(41'000'000));
  const auto client = quick_client();
  int calls = 0;
  const auto fetched = client->fetch_blob(soon(), server.ref(), descriptor_for(server.bytes), 0,
                                          [&](std::string_view) -> base::Status {
                                            ++calls;
                                            return base::Error(ErrorCode::Internal, "disk broke");
                                          });
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().message(), "disk broke");
  EXPECT_EQ(calls, 1);
}

TEST(BlobDownload, AServerThatTricklesCountsAsBroken) {
  BlobServer server(sample_bytes(100'000));
  server.trickles = true;
  oci::RegistryClient::Options options;
  options.stall_timeout = std::chrono::milliseconds(150);
  const auto client = quick_client(std::move(options));
  const auto fetched = fetch(*client, server);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code(), ErrorCode::Unavailable);
  EXPECT_THAT(fetched.error().message(), HasSubstr("bytes a second"));
}

TEST_F(Images, MirrorsComeFirstAndAreNotReliedOn) {
  write("source/data/a", "x");
  const auto digest = push("mirrored/team/d:1", {"source"});
  oci::RegistryClient::Options options;
  // The first mirror is dead, the second has it under a prefix; the registry itself is dead too.
  options.mirrors["127.0.0.1:2"] = {"127.0.0.1:1", registry_->domain() + "/mirrored"};
  auto client = quick_client(std::move(options));
  const auto name = *oci::Reference::parse("127.0.0.1:2/team/d:1");
  const auto pulled = oci::pull_image(soon(), *client, name, folder("out"), {}, {});
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(content("out/a"), "x");
  EXPECT_EQ(pulled->image.reference.text(), "127.0.0.1:2/team/d:1@" + digest.text());
  // A mirror that lacks the image is no obstacle.
  options = {};
  options.mirrors[registry_->domain()] = {registry_->domain() + "/elsewhere"};
  client = quick_client(std::move(options));
  EXPECT_TRUE(oci::pull_image(soon(), *client, ref("mirrored/team/d:1"), folder("out2"), {}, {}));
}

}  // namespace
}  // namespace registry
