#include "server_under_test.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "apiserver/server.h"

namespace conformance {
namespace {

[[noreturn]] void give_up(const base::Error& error) {
  fmt::print(stderr, "no API server to test: {}\n", error.message());
  ::abort();
}

/// The embedded server, for the time of the whole program.
class Embedded final : public testing::Environment {
 public:
  Embedded() {
    std::string pattern = testing::TempDir() + "conformance.XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    start();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    const std::uint16_t port = server_ ? server_->port() : std::uint16_t{0};
    server_.reset();
    auto server = apiserver::Server::create(
        {.data_dir = folder_ / "data", .port = port, .anonymous_admin = true});
    if (!server) give_up(server.error());
    server_ = *std::move(server);
    config.server = server_->url();
  }

  kube::RestConfig config;

 private:
  std::filesystem::path folder_;
  std::unique_ptr<apiserver::Server> server_;
};

Embedded& embedded() {
  static Embedded* const instance = [] {
    auto* made = new Embedded();  // GoogleTest owns and deletes it.
    testing::AddGlobalTestEnvironment(made);
    return made;
  }();
  return *instance;
}

}  // namespace

bool is_embedded() { return ::getenv("KAITO_TEST_KUBECONFIG") == nullptr; }

const kube::RestConfig& server_under_test() {
  if (is_embedded()) return embedded().config;
  static const kube::RestConfig config = [] {
    auto read = kube::RestConfig::from_kubeconfig_file(::getenv("KAITO_TEST_KUBECONFIG"));
    if (!read) give_up(read.error());
    return *std::move(read);
  }();
  return config;
}

bool restart_server() {
  if (is_embedded()) {
    embedded().start();
    return true;
  }
  const char* command = ::getenv("KAITO_TEST_RESTART_COMMAND");
  return command && ::system(command) == 0;
}

}  // namespace conformance
