#include <gtest/gtest.h>

#include "registry/service.h"
#include "registry/test_support.h"

namespace registry {
namespace {

/// A request without a connection; `on_respond` runs at the moment the client would see the answer.
class FakeExchange final : public net::HttpExchange {
 public:
  FakeExchange(std::string method, const std::string& target, std::string body)
      : body_(std::move(body)) {
    head_.method = std::move(method);
    head_.raw_target = target;
    head_.target.path = target;
  }

  const net::HttpRequestHead& request() const override { return head_; }
  base::Result<std::string> read_body(std::size_t) override { return body_; }
  base::Result<std::size_t> read_some(std::span<char> buffer) override {
    const std::size_t count = body_.copy(buffer.data(), buffer.size());
    body_.erase(0, count);
    return count;
  }
  base::Status respond(net::HttpResponse answer) override {
    response = std::move(answer);
    if (on_respond) on_respond();
    return {};
  }
  base::Status send_file(net::HttpResponse head, const std::filesystem::path&, std::uint64_t,
                         std::uint64_t) override {
    return respond(std::move(head));
  }
  base::Status start_stream(net::HttpResponse head) override { return respond(std::move(head)); }
  base::Status write(std::string_view) override { return {}; }
  bool client_gone() const override { return false; }
  bool answered() const override { return response.status != 0; }

  net::HttpResponse response{.status = 0, .headers = {}, .body = {}};
  std::function<void()> on_respond;

 private:
  net::HttpRequestHead head_;
  std::string body_;
};

/// Under load a client's next request came before the upload was given back, and got 409.
TEST(UploadRoutes, AnUploadIsFreeWhenItsAnswerIsSent) {
  const TempDir dir;
  Registry::Options options;
  options.root = dir.path();
  options.available_bytes = [](const auto&) -> base::Result<std::uint64_t> { return 1ULL << 40; };
  Service service{options, *oci::Layout::open_or_create(dir.path()), nullptr, nullptr, nullptr};
  service.index = *ManifestIndex::load(service.layout, {});
  service.uploads = *UploadStore::create(service.layout);

  std::string id;
  const auto answer = [&](const std::string& method, const std::string& body) {
    const std::string path = "/v2/a/blobs/uploads/" + id;
    FakeExchange exchange(method, path, body);
    exchange.on_respond = [&] {
      const std::string location(exchange.response.headers.get_or("location", ""));
      id = location.substr(location.rfind('/') + 1);
      EXPECT_TRUE(service.uploads->resume(id)) << method << ": the upload is still held";
    };
    const Route route = parse_route(path);
    EXPECT_TRUE(id.empty() ? serve_uploads(service, route, exchange)
                           : serve_upload(service, route, exchange));
    return exchange.response.status;
  };
  EXPECT_EQ(answer("POST", ""), 202);
  EXPECT_EQ(answer("PATCH", "bytes"), 202);
  EXPECT_EQ(answer("GET", ""), 204);
}

}  // namespace
}  // namespace registry
