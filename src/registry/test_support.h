#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/test_support.h"
#include "net/http_client.h"
#include "oci/manifest.h"
#include "oci/test_support.h"
#include "registry/registry.h"

/// Helpers of this module's tests.
namespace registry {

using base::test::sample_bytes;
using base::test::TempDir;
using oci::descriptor_for;

inline oci::RawManifest manifest_for(const std::string& config, const std::string& layer,
                                     std::optional<oci::Descriptor> subject = {}) {
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.config = descriptor_for(config, "application/vnd.test.config");
  manifest.layers = {descriptor_for(layer)};
  manifest.subject = std::move(subject);
  oci::RawManifest raw;
  raw.media_type = manifest.media_type;
  raw.bytes = json::dump(json::encode(manifest));
  raw.digest = oci::Digest::of(raw.bytes);
  return raw;
}

/// A registry over a folder and plain requests to it.
class RegistryFixture : public ::testing::Test {
 protected:
  void SetUp() override { start(); }

  void start(std::uint64_t free_bytes = std::uint64_t{1} << 40) {
    registry_.reset();
    Registry::Options options;
    options.root = dir_.path() / "registry";
    options.orphan_life = orphan_life_;
    options.available_bytes = [=](const auto&) -> base::Result<std::uint64_t> {
      return free_bytes;
    };
    auto registry = Registry::create(std::move(options));
    ASSERT_TRUE(registry) << registry.error().message();
    registry_ = *std::move(registry);
    http_ = *net::HttpClient::create({});
  }

  net::HttpResponse send(std::string method, const std::string& path, std::string body = {},
                         net::HttpHeaders headers = {}) {
    net::HttpClientRequest request;
    request.method = std::move(method);
    request.url = path.starts_with("http") ? path : "http://" + registry_->domain() + path;
    request.body = std::move(body);
    request.headers = std::move(headers);
    auto response = http_->send(base::Context().with_timeout(std::chrono::seconds(20)), request);
    EXPECT_TRUE(response) << response.error().message();
    return response ? *std::move(response) : net::HttpResponse{};
  }

  void push_blob(const std::string& repository, const std::string& bytes) {
    EXPECT_EQ(
        send("POST",
             "/v2/" + repository + "/blobs/uploads/?digest=" + oci::Digest::of(bytes).text(), bytes)
            .status,
        201);
  }

  net::HttpResponse put_manifest(const std::string& path, const oci::RawManifest& manifest) {
    return send("PUT", path, manifest.bytes, {{"Content-Type", manifest.media_type}});
  }

  /// The code of the error document.
  static std::string error_code(const net::HttpResponse& response) {
    const auto document = json::parse(response.body);
    const json::Array* errors = document ? json::find_array(*document, "errors") : nullptr;
    return errors && !errors->empty() ? std::string(json::find_string(errors->front(), "code"))
                                      : std::string();
  }

  TempDir dir_;
  std::chrono::seconds orphan_life_{600};
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<net::HttpClient> http_;
};

}  // namespace registry
