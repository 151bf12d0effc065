#include <atomic>
#include <thread>

#include "base/file.h"
#include "net/http_server.h"
#include "oci/failure.h"
#include "oci/model_image.h"
#include "oci/registry_client.h"
#include "registry/test_support.h"

/// The client of `oci` against this registry, and against servers that misbehave.
namespace registry {
namespace {

using base::ErrorCode;
using base::Status;
using oci::Digest;

base::Context soon() { return base::Context().with_timeout(std::chrono::seconds(20)); }

std::unique_ptr<oci::RegistryClient> make_client(oci::RegistryClient::Options options = {}) {
  options.backoff_first = std::chrono::milliseconds(1);
  options.max_attempts = 3;
  return *oci::RegistryClient::create(std::move(options));
}

oci::ContentStore make_store(const std::filesystem::path& root,
                             std::uint64_t free_bytes = std::uint64_t{1} << 40) {
  return *oci::ContentStore::open(
      {root, [=](const auto&) -> base::Result<std::uint64_t> { return free_bytes; }});
}

class ModelRoundTrip : public RegistryFixture {
 protected:
  void SetUp() override {
    RegistryFixture::SetUp();
    ASSERT_TRUE(base::write_file_atomic(file_, bytes_, 0644));
    ref_ = *oci::Reference::parse(registry_->domain() + "/kaito-tiny:0.1");
    oci::ModelPackOptions options;
    options.name = "tiny";
    packed_ = *oci::pack_model(soon(), file_, options, {});
  }
  void push() {
    const auto pushed = oci::push_model(soon(), *client_, ref_, packed_, {});
    ASSERT_TRUE(pushed) << pushed.error().message();
    EXPECT_EQ(pushed->digest, packed_.manifest.digest);
  }
  base::Result<oci::PulledModel> pull(oci::ContentStore& store, const std::string& name) {
    return oci::pull_model(soon(), *client_, ref_, store, dir_.path() / name, {});
  }

  const std::string bytes_ = sample_bytes(2'500'000);
  const std::filesystem::path file_ = dir_.path() / "tiny.gguf";
  std::unique_ptr<oci::RegistryClient> client_ = make_client();
  oci::Reference ref_;
  oci::PackedModel packed_;
};

TEST_F(ModelRoundTrip, WhatWasPushedIsPulledOncePerNode) {
  push();
  oci::ContentStore store = make_store(dir_.path() / "store");
  const auto first = pull(store, "pod-1");
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->downloaded_bytes, bytes_.size());
  EXPECT_EQ(first->weights, "tiny.gguf");
  EXPECT_EQ(first->placement, oci::Placement::HardLink);
  EXPECT_EQ(*base::read_file(dir_.path() / "pod-1/tiny.gguf"), bytes_);
  const auto second = pull(store, "pod-2");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->downloaded_bytes, 0U);
  EXPECT_TRUE(std::filesystem::equivalent(dir_.path() / "pod-1/tiny.gguf",
                                          dir_.path() / "pod-2/tiny.gguf"));
  ASSERT_TRUE(pull(store, "pod-2")) << "again into the same folder";
  const auto document = json::parse(*base::read_file(dir_.path() / "pod-2/model.json"));
  ASSERT_TRUE(document);
  EXPECT_EQ(json::find_string(*document, "digest"), packed_.manifest.digest.text());
  EXPECT_EQ(json::find_string(*document, "weights"), "tiny.gguf");
}

TEST_F(ModelRoundTrip, PushingAgainUploadsNothing) {
  push();
  int calls = 0;
  ASSERT_TRUE(oci::push_model(soon(), *client_, ref_, packed_, [&](const oci::Progress& p) {
    ++calls;
    EXPECT_EQ(p.done_bytes, p.total_bytes);
  }));
  EXPECT_EQ(calls, 1);
}

TEST_F(ModelRoundTrip, AMissingModelIsNotFoundAndMakesNoFolder) {
  oci::ContentStore store = make_store(dir_.path() / "store");
  const auto pulled = pull(store, "pod-1");
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code(), ErrorCode::NotFound) << pulled.error().message();
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "pod-1"));
}

TEST_F(ModelRoundTrip, AnAlteredBlobIsRefusedAndNothingIsVisible) {
  push();
  const auto blob = dir_.path() / "registry/blobs/sha256" / Digest::of(bytes_).hex();
  std::filesystem::permissions(blob, std::filesystem::perms::owner_all);
  std::string altered = bytes_;
  altered[1'000'000] = static_cast<char>(altered[1'000'000] ^ 1);
  ASSERT_TRUE(base::write_file_atomic(blob, altered, 0644));
  oci::ContentStore store = make_store(dir_.path() / "store");
  const auto pulled = pull(store, "pod-1");
  ASSERT_FALSE(pulled);
  EXPECT_TRUE(oci::is_digest_mismatch(pulled.error())) << pulled.error().message();
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "pod-1/tiny.gguf"));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "pod-1/model.json"));
  EXPECT_FALSE(store.contains(packed_.weights));
}

TEST_F(ModelRoundTrip, ATruncatedBlobIsUnavailableAndTheRestComesLater) {
  push();
  const auto blob = dir_.path() / "registry/blobs/sha256" / Digest::of(bytes_).hex();
  ASSERT_TRUE(base::write_file_atomic(blob, bytes_.substr(0, 1'500'000), 0644));
  oci::ContentStore store = make_store(dir_.path() / "store");
  EXPECT_FALSE(pull(store, "pod-1"));
  EXPECT_EQ(store.missing_bytes(packed_.weights), 1'000'000U);
  ASSERT_TRUE(base::write_file_atomic(blob, bytes_, 0644));
  const auto pulled = pull(store, "pod-1");
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(pulled->downloaded_bytes, 1'000'000U);
  EXPECT_EQ(*base::read_file(dir_.path() / "pod-1/tiny.gguf"), bytes_);
}

TEST_F(ModelRoundTrip, AFullNodeDiskSaysWhatIsNeeded) {
  push();
  oci::ContentStore store = make_store(dir_.path() / "store", 1 << 20);
  const auto pulled = pull(store, "pod-1");
  ASSERT_FALSE(pulled);
  EXPECT_TRUE(oci::is_disk_full(pulled.error())) << pulled.error().message();
  EXPECT_NE(pulled.error().message().find("have 1.0 MiB"), std::string::npos)
      << pulled.error().message();
}

TEST_F(ModelRoundTrip, AFullRegistryDiskIsTold) {
  start(1 << 20);
  ref_.domain = registry_->domain();
  const auto pushed = oci::push_model(soon(), *client_, ref_, packed_, {});
  ASSERT_FALSE(pushed);
  EXPECT_TRUE(oci::is_disk_full(pushed.error())) << pushed.error().message();
}

TEST_F(ModelRoundTrip, ListsAndDeletes) {
  push();
  EXPECT_EQ(*client_->list_repositories(soon(), registry_->domain()),
            std::vector<std::string>{"kaito-tiny"});
  EXPECT_EQ(*client_->list_tags(soon(), ref_), std::vector<std::string>{"0.1"});
  const auto resolved = client_->resolve(soon(), ref_);
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->digest, packed_.manifest.digest);
  EXPECT_EQ(resolved->bytes(), packed_.manifest.bytes.size());
  EXPECT_TRUE(client_->delete_manifest(soon(), ref_.with_digest(resolved->digest)));
  EXPECT_EQ(client_->resolve(soon(), ref_).error().code(), ErrorCode::NotFound);
}

/// A server of one blob whose behaviour each test writes.
class OddServer {
 public:
  using Handler = std::function<void(net::HttpExchange&, int call)>;
  explicit OddServer(Handler handler) {
    server_ = *net::HttpServer::create({}, [this, handler = std::move(handler)](
                                               const base::Context&, net::HttpExchange& exchange) {
      handler(exchange, calls_++);
    });
  }
  oci::Reference reference() const {
    return *oci::Reference::parse("127.0.0.1:" + std::to_string(server_->port()) + "/a/b:v1");
  }
  std::string domain() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  int calls() const { return calls_; }

 private:
  std::atomic<int> calls_ = 0;
  std::unique_ptr<net::HttpServer> server_;
};

base::Result<std::string> fetch(OddServer& server, const std::string& expected,
                                oci::RegistryClient::Options options = {}) {
  return make_client(std::move(options))
      ->get_blob(soon(), server.reference(), descriptor_for(expected), 1 << 20);
}

net::HttpResponse answer(int status, std::string body = {}, net::HttpHeaders headers = {}) {
  net::HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return response;
}

TEST(FetchBlob, GoesOnWithARange) {
  const std::string bytes = sample_bytes(50'000);
  std::string range;
  OddServer server([&](net::HttpExchange& exchange, int call) {
    if (call == 0) {
      (void)exchange.start_stream(answer(200));
      (void)exchange.write(bytes.substr(0, 20'000));
      return;
    }
    range = exchange.request().headers.get_or("range", "");
    (void)exchange.respond(
        answer(206, bytes.substr(20'000), {{"Content-Range", "bytes 20000-49999/50000"}}));
  });
  const auto got = fetch(server, bytes);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, bytes);
  EXPECT_EQ(range, "bytes=20000-");
}

TEST(FetchBlob, SkipsWhatItHasWhenTheServerKnowsNoRanges) {
  const std::string bytes = sample_bytes(50'000);
  OddServer server([&](net::HttpExchange& exchange, int call) {
    (void)exchange.start_stream(answer(200));
    (void)exchange.write(call == 0 ? bytes.substr(0, 20'000) : bytes);
  });
  const auto got = fetch(server, bytes);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, bytes);
}

TEST(FetchBlob, RefusesAnotherRangeThanItAskedFor) {
  const std::string bytes = sample_bytes(50'000);
  OddServer server([&](net::HttpExchange& exchange, int call) {
    if (call == 0) {
      (void)exchange.start_stream(answer(200));
      (void)exchange.write(bytes.substr(0, 20'000));
    } else {
      (void)exchange.respond(
          answer(206, bytes.substr(10'000), {{"Content-Range", "bytes 10000-49999/50000"}}));
    }
  });
  const auto got = fetch(server, bytes);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), ErrorCode::Invalid);
}

TEST(FetchBlob, BytesBeyondTheSizeAreRefused) {
  OddServer server([&](net::HttpExchange& exchange, int) {
    (void)exchange.respond(answer(200, "hello and more"));
  });
  const auto got = fetch(server, "hello");
  ASSERT_FALSE(got);
  EXPECT_TRUE(oci::is_digest_mismatch(got.error()));
  EXPECT_EQ(server.calls(), 1) << "a wrong blob is not asked for again";
}

TEST(FetchBlob, TriesAgainAfter503AndObeysRetryAfter) {
  OddServer server([&](net::HttpExchange& exchange, int call) {
    (void)exchange.respond(call == 0 ? answer(503, {}, {{"Retry-After", "1"}})
                                     : answer(200, "hello"));
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(*fetch(server, "hello"), "hello");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(FetchBlob, GivesUpAfterItsAttempts) {
  OddServer server([&](net::HttpExchange& exchange, int) { (void)exchange.respond(answer(500)); });
  const auto got = fetch(server, "hello");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), ErrorCode::Unavailable);
  EXPECT_EQ(server.calls(), 3);
}

TEST(RegistryClient, AnUnreachableRegistryIsNamed) {
  const auto client = make_client();
  const auto status = client->ping(soon(), "127.0.0.1:1");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::Unavailable);
  EXPECT_NE(status.error().message().find("registry 127.0.0.1:1 cannot be reached"),
            std::string::npos)
      << status.error().message();
}

TEST(RegistryClient, GetsATokenAndKeepsIt) {
  std::string domain;
  std::atomic<int> tokens = 0;
  std::string token_query, token_auth;
  OddServer server([&](net::HttpExchange& exchange, int) {
    const auto& request = exchange.request();
    if (request.target.path == "/token") {
      ++tokens;
      token_query = request.raw_target;
      token_auth = request.headers.get_or("authorization", "");
      (void)exchange.respond(answer(200, R"({"token":"T1","expires_in":300})"));
    } else if (request.headers.get_or("authorization", "") == "Bearer T1") {
      (void)exchange.respond(answer(200, "hello"));
    } else {
      (void)exchange.respond(answer(
          401, "no",
          {{"WWW-Authenticate", "Bearer realm=\"http://" + domain +
                                    "/token\",service=\"s\",scope=\"repository:a/b:pull\""}}));
    }
  });
  domain = server.domain();
  oci::RegistryClient::Options options;
  options.credentials.add(domain, {"u", "p", ""});
  const auto client = make_client(std::move(options));
  for (int i = 0; i < 2; ++i) {
    const auto got = client->get_blob(soon(), server.reference(), descriptor_for("hello"), 100);
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(*got, "hello");
  }
  EXPECT_EQ(tokens, 1);
  EXPECT_EQ(token_auth, "Basic dTpw");
  EXPECT_EQ(token_query, "/token?service=s&scope=repository%3Aa%2Fb%3Apull");
}

TEST(RegistryClient, SendsNoCredentialsToAnUnsafeTokenService) {
  OddServer server([&](net::HttpExchange& exchange, int) {
    (void)exchange.respond(
        answer(401, {}, {{"WWW-Authenticate", "Bearer realm=\"ftp://evil.example/token\""}}));
  });
  const auto got = fetch(server, "hello");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), ErrorCode::Unauthorized);
  EXPECT_EQ(server.calls(), 1);
}

TEST(RegistryClient, BasicNeedsCredentials) {
  OddServer server([&](net::HttpExchange& exchange, int) {
    const bool known = exchange.request().headers.get_or("authorization", "") == "Basic dTpw";
    (void)exchange.respond(known ? answer(200, "hello")
                                 : answer(401, {}, {{"WWW-Authenticate", "Basic realm=\"r\""}}));
  });
  EXPECT_EQ(fetch(server, "hello").error().code(), ErrorCode::Unauthorized);
  oci::RegistryClient::Options options;
  options.credentials.add(server.domain(), {"u", "p", ""});
  EXPECT_EQ(*fetch(server, "hello", std::move(options)), "hello");
}

TEST(RegistryClient, AManifestOfAnotherDigestIsRefused) {
  const auto manifest = manifest_for("{}", "layer");
  OddServer server([&](net::HttpExchange& exchange, int) {
    (void)exchange.respond(answer(200, manifest.bytes, {{"Content-Type", manifest.media_type}}));
  });
  const auto client = make_client();
  const auto got = client->get_manifest(soon(), server.reference().with_digest(Digest::of("x")));
  ASSERT_FALSE(got);
  EXPECT_TRUE(oci::is_digest_mismatch(got.error()));
  EXPECT_TRUE(client->get_manifest(soon(), server.reference()));
}

}  // namespace
}  // namespace registry
