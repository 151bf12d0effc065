#include "tuning/data/fetch.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "base/sha256.h"
#include "json/value.h"
#include "net/http_server.h"

namespace tuning {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Fetch : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("fetch-" + base::random_uuid());
    auto server = net::HttpServer::create(
        {},
        [this](const base::Context& ctx, net::HttpExchange& exchange) { answer(ctx, exchange); });
    ASSERT_TRUE(server) << server.error().message();
    server_ = *std::move(server);
    options_.folder = folder_;
    options_.use_environment_proxy = false;
    options_.retry_wait = 1ms;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void answer(const base::Context& ctx, net::HttpExchange& exchange) {
    ++requests_;
    const std::string& path = exchange.request().target.path;
    auto response = net::HttpResponse::text(200, "{\"text\":\"hello\"}\n");
    if (path == "/page.json") response.body = "<!DOCTYPE html>\n<html></html>";
    if (path == "/empty.json") response.body = "";
    if (path == "/missing.json") response.status = 404;
    if (path == "/secret.json") response.status = 403;
    if (path == "/broken.json") response.status = 500;
    if (path == "/flaky.json" && requests_ < 3) response.status = 503;
    if (path == "/slow.json") (void)ctx.sleep(2s);
    if (path == "/moved.json") {
      response.status = 302;
      response.headers.set("Location", "/data.jsonl?x=1");
    }
    if (path == "/loop.json") {
      response.status = 302;
      response.headers.set("Location", "/loop.json");
    }
    if (path == "/metadata.json") {
      response.status = 302;
      response.headers.set("Location", "http://169.254.169.254/latest/meta-data");
    }
    (void)exchange.respond(std::move(response));
  }

  base::Result<std::vector<FetchedFile>> fetch(const std::string& path) {
    const std::string url = fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
    return fetch_files(base::Context().with_timeout(20s), {url}, options_);
  }
  base::Error error_of(const std::string& path) {
    auto fetched = fetch(path);
    EXPECT_FALSE(fetched);
    return fetched ? base::Error(ErrorCode::Internal, "none") : fetched.error();
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
  FetchOptions options_;
  std::unique_ptr<net::HttpServer> server_;
  std::atomic<int> requests_{0};
};

TEST_F(Fetch, WritesTheFileAndWhereItCameFrom) {
  const auto fetched = fetch("/set/data.jsonl?token=secret");
  ASSERT_TRUE(fetched) << fetched.error().message();
  EXPECT_EQ(fetched->front().path, folder_ / "data.jsonl");
  EXPECT_EQ(*base::read_file(folder_ / "data.jsonl"), "{\"text\":\"hello\"}\n");
  EXPECT_EQ(fetched->front().sha256, base::sha256_hex("{\"text\":\"hello\"}\n"));
  const std::string sources = *base::read_file(folder_ / ".sources.json");
  EXPECT_THAT(sources, AllOf(HasSubstr(fetched->front().sha256), Not(HasSubstr("secret"))));
}

TEST_F(Fetch, FollowsRedirectsButNotForEver) {
  EXPECT_TRUE(fetch("/moved.json"));
  EXPECT_THAT(error_of("/loop.json").message(), HasSubstr("redirects"));
}

TEST_F(Fetch, RefusesPagesAndEmptyAnswers) {
  EXPECT_THAT(error_of("/page.json").message(), HasSubstr("HTML page"));
  EXPECT_THAT(error_of("/empty.json").message(), HasSubstr("the answer is empty"));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Fetch, NamesTheStatusAndHidesTheQuery) {
  const base::Error missing = error_of("/missing.json?token=secret");
  EXPECT_EQ(missing.code(), ErrorCode::NotFound);
  EXPECT_THAT(missing.message(),
              AllOf(HasSubstr("/missing.json: the server answered 404"), Not(HasSubstr("secret"))));
  EXPECT_EQ(error_of("/secret.json").code(), ErrorCode::Forbidden);
}

TEST_F(Fetch, TriesAgainWhatMayPass) {
  EXPECT_TRUE(fetch("/flaky.json"));
  EXPECT_EQ(requests_, 3);
  const base::Error broken = error_of("/broken.json");
  EXPECT_THAT(broken.message(), HasSubstr("attempt 3: the server answered 500"));
}

TEST_F(Fetch, BoundsSizeAndTime) {
  options_.max_bytes = 5;
  EXPECT_THAT(error_of("/data.json").message(), HasSubstr("larger than 5 bytes"));
  options_ = {.folder = folder_, .use_environment_proxy = false, .time_limit = 1s, .attempts = 1};
  EXPECT_EQ(error_of("/slow.json").code(), ErrorCode::Timeout);
}

TEST_F(Fetch, NeverAsksAMetadataServer) {
  const base::Error refused = error_of("/metadata.json");
  EXPECT_EQ(refused.code(), ErrorCode::Forbidden);
  EXPECT_THAT(refused.message(), HasSubstr("169.254.169.254"));
  const auto direct =
      fetch_files(base::Context().with_timeout(5s), {"http://169.254.169.254/x"}, options_);
  ASSERT_FALSE(direct);
  EXPECT_EQ(direct.error().code(), ErrorCode::Forbidden);
}

TEST_F(Fetch, RefusesOtherSchemes) {
  const auto fetched = fetch_files(base::Context(), {"file:///etc/passwd"}, options_);
  ASSERT_FALSE(fetched);
  EXPECT_THAT(fetched.error().message(), HasSubstr("http://"));
}

TEST(FetchAddress, RefusesLinkLocalAndMetadataOnly) {
  for (const char* bad : {"169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254",
                          "168.63.129.16", "100.100.100.200", "fd00:ec2::254"})
    EXPECT_FALSE(check_fetch_address(bad)) << bad;
  for (const char* good : {"127.0.0.1", "10.0.0.1", "169.253.1.1", "::1", "2001:db8::1"})
    EXPECT_TRUE(check_fetch_address(good)) << good;
}

TEST(FileName, IsTheLastPartOfThePathMadeHarmless) {
  EXPECT_EQ(file_name_of("https://h/a/train-0.parquet?download=true"), "train-0.parquet");
  EXPECT_EQ(file_name_of("https://h/a%20b.json#x"), "a_b.json");
  EXPECT_EQ(file_name_of("https://h"), "data");
  EXPECT_EQ(file_name_of("https://h/"), "data");
  EXPECT_EQ(file_name_of("https://h/x/%2e%2e%2fpasswd"), "_passwd");
  EXPECT_EQ(file_name_of("https://h/.hidden.csv"), "hidden.csv");
  EXPECT_LE(file_name_of("https://h/" + std::string(5000, 'x')).size(), 255U);
}

}  // namespace
}  // namespace tuning
