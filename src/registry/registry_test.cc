#include "registry/registry.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/file.h"
#include "oci/layout.h"
#include "oci/limits.h"
#include "registry/htpasswd.h"
#include "registry/route.h"
#include "registry/test_support.h"

namespace registry {
namespace {

using oci::Digest;

TEST(ParseRoute, TheLastSegmentsDecide) {
  using Kind = Route::Kind;
  struct Row {
    std::string path;
    Kind kind;
    std::string repository, target;
  };
  for (const Row& row : std::vector<Row>{
           {"/v2/", Kind::Base, "", ""},
           {"/v2", Kind::Base, "", ""},
           {"/v2/_catalog", Kind::Catalog, "", ""},
           {"/v2/a/tags/list", Kind::Tags, "a", ""},
           {"/v2/a/b/manifests/v1", Kind::Manifest, "a/b", "v1"},
           {"/v2/blobs/manifests/manifests/x", Kind::Manifest, "blobs/manifests", "x"},
           {"/v2/a/blobs/sha256:1", Kind::Blob, "a", "sha256:1"},
           {"/v2/a/blobs/uploads/", Kind::Uploads, "a", ""},
           {"/v2/a/blobs/uploads", Kind::Uploads, "a", ""},
           {"/v2/a/b/blobs/uploads/id", Kind::Upload, "a/b", "id"},
           {"/v2/a/referrers/sha256:1", Kind::Referrers, "a", "sha256:1"},
           {"/v2/manifests/x", Kind::Manifest, "", "x"},
           {"/v1/", Kind::Unknown, "", ""},
           {"/v2/a", Kind::Unknown, "", ""},
           {"/", Kind::Unknown, "", ""},
       }) {
    const Route route = parse_route(row.path);
    EXPECT_EQ(route.kind, row.kind) << row.path;
    EXPECT_EQ(route.repository, row.repository) << row.path;
    EXPECT_EQ(route.target, row.target) << row.path;
  }
}

TEST(ParseRange, AsTheHttpSpecificationSays) {
  const auto text = [](std::optional<std::string_view> header, std::uint64_t size) -> std::string {
    const auto range = parse_range(header, size);
    if (const auto* part = std::get_if<ByteRange>(&range))
      return fmt::format("{}+{}", part->offset, part->length);
    return std::holds_alternative<RangeIgnored>(range) ? "all" : "416";
  };
  EXPECT_EQ(text(std::nullopt, 10), "all");
  EXPECT_EQ(text("bytes=0-3", 10), "0+4");
  EXPECT_EQ(text("bytes=4-", 10), "4+6");
  EXPECT_EQ(text("bytes=4-99", 10), "4+6");
  EXPECT_EQ(text("bytes=-3", 10), "7+3");
  EXPECT_EQ(text("bytes=-30", 10), "0+10");
  EXPECT_EQ(text("bytes=10-", 10), "416");
  EXPECT_EQ(text("bytes=-0", 10), "416");
  EXPECT_EQ(text("bytes=0-", 0), "416");
  for (const char* ignored : {"bytes=", "bytes=x-", "bytes=3-1", "bytes=1-x", "lines=1-2",
                              "bytes=1-2,4-5", "bytes=-", "bytes=99999999999999999999-"})
    EXPECT_EQ(text(ignored, 10), "all") << ignored;
  EXPECT_FALSE(parse_chunk_range("5"));
  EXPECT_FALSE(parse_chunk_range("5-4"));
  EXPECT_EQ(parse_chunk_range("5-9")->length, 5U);
}

class RegistryApi : public RegistryFixture {};

TEST_F(RegistryApi, AnswersTheVersionCheck) {
  const auto response = send("GET", "/v2/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get_or("docker-distribution-api-version", ""), "registry/2.0");
  EXPECT_EQ(send("GET", "/").status, 404);
  EXPECT_EQ(send("POST", "/v2/").status, 405);
}

TEST_F(RegistryApi, KeepsABlobOfOneRequest) {
  const std::string bytes = sample_bytes(100'000);
  const std::string path = "/v2/a/b/blobs/" + Digest::of(bytes).text();
  EXPECT_EQ(send("HEAD", path).status, 404);
  push_blob("a/b", bytes);
  const auto response = send("GET", path);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, bytes);
  EXPECT_EQ(response.headers.get_or("docker-content-digest", ""), Digest::of(bytes).text());
  EXPECT_EQ(send("HEAD", path).headers.get_or("content-length", ""), "100000");
  const auto part = send("GET", path, {}, {{"Range", "bytes=10-19"}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, bytes.substr(10, 10));
  EXPECT_EQ(part.headers.get_or("content-range", ""), "bytes 10-19/100000");
  EXPECT_EQ(send("GET", path, {}, {{"Range", "bytes=100000-"}}).status, 416);
}

TEST_F(RegistryApi, TakesABlobInChunksAndTellsWhereItIs) {
  const std::string bytes = sample_bytes(3000);
  auto response = send("POST", "/v2/a/blobs/uploads/");
  ASSERT_EQ(response.status, 202);
  const std::string location = std::string(*response.headers.get("location"));
  EXPECT_EQ(send("PATCH", location, bytes.substr(0, 1000), {{"Content-Range", "0-999"}}).status,
            202);
  EXPECT_EQ(
      send("PATCH", location, bytes.substr(500, 1000), {{"Content-Range", "500-1499"}}).status, 416)
      << "out of order";
  EXPECT_EQ(
      send("PATCH", location, bytes.substr(1000, 10), {{"Content-Range", "1000-1999"}}).status, 416)
      << "length differs";
  response = send("GET", location);
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers.get_or("range", ""), "0-999");
  EXPECT_EQ(send("PATCH", location, bytes.substr(1000, 1000)).status, 202);
  EXPECT_EQ(
      send("PUT", location + "?digest=" + Digest::of(bytes).text(), bytes.substr(2000)).status,
      201);
  EXPECT_EQ(send("GET", "/v2/a/blobs/" + Digest::of(bytes).text()).body, bytes);
  EXPECT_EQ(send("GET", location).status, 404);
}

TEST_F(RegistryApi, AnUploadOutlivesARestart) {
  const std::string bytes = sample_bytes(3000);
  const std::string location(*send("POST", "/v2/a/blobs/uploads/").headers.get("location"));
  EXPECT_EQ(send("PATCH", location, bytes.substr(0, 1000)).status, 202);
  start();
  EXPECT_EQ(send("GET", location).headers.get_or("range", ""), "0-999");
  EXPECT_EQ(
      send("PUT", location + "?digest=" + Digest::of(bytes).text(), bytes.substr(1000)).status,
      201);
  EXPECT_EQ(send("GET", "/v2/a/blobs/" + Digest::of(bytes).text()).body, bytes);
}

TEST_F(RegistryApi, BytesUnderAWrongDigestAreRefused) {
  const std::string bytes = sample_bytes(3000);
  const std::string wrong = Digest::of("other").text();
  const auto response = send("POST", "/v2/a/blobs/uploads/?digest=" + wrong, bytes);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error_code(response), "DIGEST_INVALID");
  EXPECT_EQ(send("HEAD", "/v2/a/blobs/" + wrong).status, 404);
  EXPECT_EQ(send("HEAD", "/v2/a/blobs/" + Digest::of(bytes).text()).status, 404);
  const std::string location(*send("POST", "/v2/a/blobs/uploads/").headers.get("location"));
  EXPECT_EQ(send("PUT", location + "?digest=md5:1", bytes).status, 400);
  EXPECT_EQ(send("PUT", location, bytes).status, 400);
  EXPECT_EQ(send("DELETE", location).status, 204);
  EXPECT_EQ(send("DELETE", location).status, 404);
  EXPECT_EQ(send("GET", "/v2/a/blobs/uploads/..%2f..%2findex.json").status, 404);
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path() / "registry/uploads"));
}

TEST_F(RegistryApi, MountsABlobThatItHas) {
  push_blob("a", "hello");
  EXPECT_EQ(send("POST", "/v2/b/blobs/uploads/?from=a&mount=" + Digest::of("hello").text()).status,
            201);
  EXPECT_EQ(send("POST", "/v2/b/blobs/uploads/?from=a&mount=" + Digest::of("none").text()).status,
            202);
}

TEST_F(RegistryApi, ManifestsByTagAndDigest) {
  const auto manifest = manifest_for("{}", "layer");
  auto response = put_manifest("/v2/team/app/manifests/v1", manifest);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error_code(response), "MANIFEST_BLOB_UNKNOWN");
  EXPECT_EQ(send("GET", "/v2/team/app/tags/list").status, 404)
      << "a refused manifest makes no repository";
  push_blob("team/app", "{}");
  push_blob("team/app", "layer");
  response = put_manifest("/v2/team/app/manifests/v1", manifest);
  EXPECT_EQ(response.status, 201) << response.body;
  EXPECT_EQ(response.headers.get_or("docker-content-digest", ""), manifest.digest.text());
  for (const std::string& target : {std::string("v1"), manifest.digest.text()}) {
    response = send("GET", "/v2/team/app/manifests/" + target);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, manifest.bytes);
    EXPECT_EQ(response.headers.get_or("content-type", ""), manifest.media_type);
    EXPECT_EQ(send("HEAD", "/v2/team/app/manifests/" + target).headers.get_or("content-length", ""),
              std::to_string(manifest.bytes.size()));
  }
  EXPECT_EQ(error_code(send("GET", "/v2/team/app/manifests/v2")), "MANIFEST_UNKNOWN");
  EXPECT_EQ(send("GET", "/v2/other/manifests/" + manifest.digest.text()).status, 404)
      << "manifests belong to their repository";
  EXPECT_EQ(send("GET", "/v2/_catalog").body, R"({"repositories":["team/app"]})");
  EXPECT_EQ(send("GET", "/v2/team/app/tags/list").body, R"({"name":"team/app","tags":["v1"]})");
}

TEST_F(RegistryApi, RefusesBadManifests) {
  push_blob("a", "{}");
  push_blob("a", "layer");
  const auto good = manifest_for("{}", "layer");
  const auto put = [&](const std::string& path, const std::string& body, const std::string& type) {
    return send("PUT", path, body, {{"Content-Type", type}});
  };
  EXPECT_EQ(error_code(put("/v2/a/manifests/v1", "{", good.media_type)), "MANIFEST_INVALID");
  EXPECT_EQ(error_code(put("/v2/a/manifests/v1", good.bytes,
                           std::string(oci::media_type::kDockerManifest))),
            "MANIFEST_INVALID")
      << "type differs";
  EXPECT_EQ(
      error_code(put("/v2/a/manifests/" + Digest::of("x").text(), good.bytes, good.media_type)),
      "DIGEST_INVALID");
  EXPECT_EQ(error_code(put("/v2/a/manifests/.x", good.bytes, good.media_type)), "MANIFEST_INVALID");
  EXPECT_EQ(error_code(put("/v2/A/manifests/v1", good.bytes, good.media_type)), "NAME_INVALID");
  EXPECT_EQ(put("/v2/a/manifests/v1", std::string(oci::kMaxManifestBytes + 1, ' '), good.media_type)
                .status,
            413);
  EXPECT_EQ(send("GET", "/v2/_catalog").body, R"({"repositories":[]})");
}

TEST_F(RegistryApi, ListsInPages) {
  push_blob("a", "{}");
  push_blob("a", "layer");
  const auto manifest = manifest_for("{}", "layer");
  for (const char* tag : {"v1", "v2", "v3"})
    EXPECT_EQ(put_manifest(std::string("/v2/a/manifests/") + tag, manifest).status, 201);
  auto response = send("GET", "/v2/a/tags/list?n=2");
  EXPECT_EQ(response.body, R"({"name":"a","tags":["v1","v2"]})");
  EXPECT_EQ(response.headers.get_or("link", ""), R"(</v2/a/tags/list?n=2&last=v2>; rel="next")");
  response = send("GET", "/v2/a/tags/list?n=2&last=v2");
  EXPECT_EQ(response.body, R"({"name":"a","tags":["v3"]})");
  EXPECT_FALSE(response.headers.get("link"));
  EXPECT_EQ(send("GET", "/v2/a/tags/list?n=0").body, R"({"name":"a","tags":[]})");
  EXPECT_EQ(send("GET", "/v2/a/tags/list?n=x").status, 400);
}

TEST_F(RegistryApi, DeletesTagsManifestsAndUnusedBlobs) {
  orphan_life_ = std::chrono::seconds(0);
  start();
  push_blob("a", "{}");
  push_blob("a", "layer");
  const auto manifest = manifest_for("{}", "layer");
  for (const char* tag : {"v1", "v2"})
    EXPECT_EQ(put_manifest(std::string("/v2/a/manifests/") + tag, manifest).status, 201);
  EXPECT_EQ(send("DELETE", "/v2/a/blobs/" + Digest::of("layer").text()).status, 405)
      << "it is in use";
  EXPECT_EQ(send("DELETE", "/v2/a/manifests/v1").status, 202);
  EXPECT_EQ(send("DELETE", "/v2/a/manifests/v1").status, 404);
  EXPECT_EQ(send("GET", "/v2/a/manifests/" + manifest.digest.text()).status, 200);
  EXPECT_EQ(send("DELETE", "/v2/a/manifests/" + manifest.digest.text()).status, 202);
  EXPECT_EQ(send("GET", "/v2/a/manifests/v2").status, 404);
  EXPECT_EQ(send("HEAD", "/v2/a/blobs/" + Digest::of("layer").text()).status, 404)
      << "nothing uses it any more";
}

TEST_F(RegistryApi, KeepsUnusedBlobsForAWhile) {
  push_blob("a", "layer");
  EXPECT_EQ(registry_->collect().blobs, 0U);
  EXPECT_EQ(send("HEAD", "/v2/a/blobs/" + Digest::of("layer").text()).status, 200);
}

TEST_F(RegistryApi, RemovesWhatAKilledProcessLeft) {
  orphan_life_ = std::chrono::seconds(0);
  // Before a registry runs: one with no patience would sweep the file while it is being written.
  registry_.reset();
  const auto left = dir_.path() / "registry/blobs/sha256/abc.tmp";
  ASSERT_TRUE(base::write_file_atomic(left, "half", 0644));
  start();
  registry_->collect();
  EXPECT_FALSE(std::filesystem::exists(left));
}

TEST_F(RegistryApi, ListsReferrers) {
  push_blob("a", "{}");
  push_blob("a", "layer");
  const auto subject = manifest_for("{}", "layer");
  const auto signature = manifest_for("layer", "{}", subject.descriptor());
  auto response = put_manifest("/v2/a/manifests/" + signature.digest.text(), signature);
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.headers.get_or("oci-subject", ""), subject.digest.text());
  response = send("GET", "/v2/a/referrers/" + subject.digest.text());
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find(signature.digest.text()), std::string::npos);
  response = send("GET", "/v2/a/referrers/" + subject.digest.text() + "?artifactType=x/y");
  EXPECT_EQ(response.body.find(signature.digest.text()), std::string::npos);
  EXPECT_EQ(response.headers.get_or("oci-filters-applied", ""), "artifactType");
}

TEST_F(RegistryApi, EverythingIsThereAfterARestartAndOnDiskAsALayout) {
  push_blob("team/app", "{}");
  push_blob("team/app", "layer");
  const auto tagged = manifest_for("{}", "layer");
  const auto untagged = manifest_for("layer", "{}");
  EXPECT_EQ(put_manifest("/v2/team/app/manifests/v1", tagged).status, 201);
  EXPECT_EQ(put_manifest("/v2/team/app/manifests/" + untagged.digest.text(), untagged).status, 201);
  start();
  EXPECT_EQ(send("GET", "/v2/team/app/manifests/v1").body, tagged.bytes);
  EXPECT_EQ(send("GET", "/v2/team/app/manifests/" + untagged.digest.text()).body, untagged.bytes);
  const auto layout = oci::Layout::open_or_create(dir_.path() / "registry");
  ASSERT_TRUE(layout);
  const auto index = *layout->read_index();
  ASSERT_EQ(index.manifests.size(), 2U);
  EXPECT_EQ(oci::find_annotation(index.manifests[0].annotations, oci::annotation::kRefName),
            "team/app:v1");
  EXPECT_EQ(index.manifests[0].digest, tagged.digest);
}

TEST_F(RegistryApi, KeepsEntriesOfOtherToolsAndLeavesOutBrokenOnes) {
  registry_.reset();
  auto layout = oci::Layout::open_or_create(dir_.path() / "registry");
  oci::Index index;
  index.manifests = {descriptor_for("foreign"),
                     descriptor_for("gone", std::string(oci::media_type::kOciManifest))};
  index.manifests[1].annotations[std::string(oci::annotation::kRefName)] = "a:gone";
  ASSERT_TRUE(layout->write_index(index));
  start();
  EXPECT_EQ(send("GET", "/v2/a/manifests/gone").status, 404);
  push_blob("a", "{}");
  push_blob("a", "layer");
  EXPECT_EQ(put_manifest("/v2/a/manifests/v1", manifest_for("{}", "layer")).status, 201);
  const auto written = *layout->read_index();
  ASSERT_EQ(written.manifests.size(), 2U);
  EXPECT_EQ(written.manifests[0].digest, Digest::of("foreign"));
}

TEST_F(RegistryApi, AFullDiskIsToldBeforeTheBody) {
  start(oci::kDiskReserveBytes + 100);
  const std::string bytes = sample_bytes(5000);
  const auto response =
      send("POST", "/v2/a/blobs/uploads/?digest=" + Digest::of(bytes).text(), bytes);
  EXPECT_EQ(response.status, 507);
  EXPECT_NE(response.body.find("not enough space"), std::string::npos) << response.body;
}

TEST_F(RegistryApi, OneFolderHasOneRegistry) {
  Registry::Options options;
  options.root = dir_.path() / "registry";
  const auto second = Registry::create(std::move(options));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), base::ErrorCode::AlreadyExists);
}

TEST(Htpasswd, TakesRightPasswordsOnly) {
  // bcrypt of "secret".
  const auto users = Htpasswd::parse(
      "# users\nuser:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\r\n");
  ASSERT_TRUE(users) << users.error().message();
  const auto basic = [](const std::string& text) { return "Basic " + base::to_base64(text); };
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE((*users)->allows(basic("user:secret"))) << "also when cached";
  for (const std::string& wrong :
       {basic("user:Secret"), basic("user:"), basic("other:secret"), basic("user"),
        basic(":secret"), basic(std::string("user:secret\0", 12)), std::string("Basic ???"),
        std::string("Bearer x"), std::string()})
    EXPECT_FALSE((*users)->allows(wrong)) << wrong;
  for (const char* bad : {"user", ":$2y$05$x", "user:{SHA}abc", "user:plain"})
    EXPECT_FALSE(Htpasswd::parse(bad)) << bad;
}

TEST(Htpasswd, GuardsEveryRoute) {
  const TempDir dir;
  Registry::Options options;
  options.root = dir.path();
  options.htpasswd = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
  const auto registry = *Registry::create(std::move(options));
  const auto client = *net::HttpClient::create({});
  for (const char* path : {"/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/x", "/"}) {
    net::HttpClientRequest request;
    request.url = "http://" + registry->domain() + path;
    auto response = client->send(base::Context(), request);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 401) << path;
    EXPECT_EQ(response->headers.get_or("www-authenticate", ""), "Basic realm=\"kaito\"");
    request.headers.set("Authorization", "Basic " + base::to_base64("user:secret"));
    response = client->send(base::Context(), request);
    ASSERT_TRUE(response);
    EXPECT_NE(response->status, 401) << path;
  }
}

}  // namespace
}  // namespace registry
