#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/encoding.h"
#include "base/file.h"
#include "kube/rest/client.h"

namespace kube {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

constexpr std::string_view kPem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

class Kubeconfig : public testing::Test {
 protected:
  Kubeconfig() {
    std::string pattern = testing::TempDir() + "kubeconfig.XXXXXX";
    folder = ::mkdtemp(pattern.data());
  }
  ~Kubeconfig() override { std::filesystem::remove_all(folder); }

  void write(const std::string& name, std::string_view content) const {
    ASSERT_TRUE(base::write_file_atomic(folder / name, content, 0600));
  }
  /// A config whose cluster and user hold the given YAML lines.
  static std::string config(const std::string& cluster, const std::string& user) {
    return "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
           "contexts:\n- name: here\n  context: {cluster: c, user: u}\n"
           "- name: other\n  context: {cluster: d}\n"
           "clusters:\n- name: c\n  cluster:\n    server: https://127.0.0.1:6443\n" +
           cluster + "- name: d\n  cluster: {server: 'http://127.0.0.1:1'}\n" +
           "users:\n- name: u\n  user:\n    irrelevant: 1\n" + user;
  }

  std::filesystem::path folder;
};

TEST_F(Kubeconfig, ReadsInlineCredentials) {
  const auto rest = RestConfig::from_kubeconfig(
      config("    certificate-authority-data: " + base::to_base64(kPem) +
                 "\n    tls-server-name: kubernetes\n",
             "    client-certificate-data: " + base::to_base64(kPem) +
                 "\n    client-key-data: " + base::to_base64(kPem) + "\n    token: abc\n"));
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(rest->server, "https://127.0.0.1:6443");
  EXPECT_EQ(rest->tls.ca_pem, kPem);
  EXPECT_EQ(rest->tls.cert_pem, kPem);
  EXPECT_EQ(rest->tls.key_pem, kPem);
  EXPECT_EQ(rest->tls.server_name, "kubernetes");
  EXPECT_FALSE(rest->tls.insecure_skip_verify);
  EXPECT_EQ(rest->bearer_token, "abc");
}

TEST_F(Kubeconfig, ReadsFilesBesideItself) {
  write("ca.pem", kPem);
  write("config", config("    certificate-authority: ca.pem\n", "    tokenFile: token\n"));
  const auto rest = RestConfig::from_kubeconfig_file((folder / "config").string());
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(rest->tls.ca_pem, kPem);
  EXPECT_EQ(rest->bearer_token_file, (folder / "token").string());
}

TEST_F(Kubeconfig, ChoosesTheNamedContext) {
  const auto rest = RestConfig::from_kubeconfig(config("", ""), "other");
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(rest->server, "http://127.0.0.1:1");
  const auto missing = RestConfig::from_kubeconfig(config("", ""), "nope");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(), "there is no context 'nope' (known: here, other)");
}

TEST_F(Kubeconfig, SkipsVerificationOnlyWhenAsked) {
  const auto rest = RestConfig::from_kubeconfig(config("    insecure-skip-tls-verify: true\n", ""));
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_TRUE(rest->tls.insecure_skip_verify);
}

TEST_F(Kubeconfig, SaysWhatIsWrong) {
  const std::string data = base::to_base64(kPem);
  struct Case {
    std::string cluster, user, message;
  };
  const Case cases[] = {
      {"", "    exec: {command: kubelogin}\n",
       "the exec plugin 'kubelogin', which is not supported"},
      {"", "    auth-provider: {name: gcp}\n", "auth-provider"},
      {"", "    username: bob\n", "username and password"},
      {"", "    as: bob\n", "impersonation"},
      {"", "    token: 1\n", ".users[0].user.token: expected string"},
      {"", "    client-certificate-data: " + data + "\n", "must be set together"},
      {"", "    client-certificate: missing.pem\n", "missing.pem"},
      {"    certificate-authority-data: '%%'\n", "", "cluster 'c': certificate-authority-data"},
      {"    certificate-authority-data: aGVsbG8=\n", "", "is not PEM text"},
      {"    proxy-url: http://p\n", "", "proxy-url"},
      {"    insecure-skip-tls-verify: true\n    certificate-authority-data: " + data + "\n", "",
       "exclude each other"},
  };
  for (const Case& c : cases) {
    const auto rest = RestConfig::from_kubeconfig(config(c.cluster, c.user));
    ASSERT_FALSE(rest) << c.message;
    EXPECT_THAT(rest.error().message(), HasSubstr(c.message));
  }
}

TEST_F(Kubeconfig, RefusesBrokenDocuments) {
  for (const char* text : {"", "a: [", "current-context: x", "contexts: 3", "{}",
                           "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]"}) {
    EXPECT_FALSE(RestConfig::from_kubeconfig(text)) << text;
  }
  const auto missing = RestConfig::from_kubeconfig_file((folder / "none").string());
  EXPECT_EQ(missing.error().code(), ErrorCode::NotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr((folder / "none").string()));
}

TEST_F(Kubeconfig, ReadsTheServiceAccountOfAPod) {
  write("ca.crt", kPem);
  write("token", "secret\n");
  const auto rest = RestConfig::in_cluster("10.0.0.1", "443", folder.string());
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(rest->server, "https://10.0.0.1:443");
  EXPECT_EQ(rest->tls.ca_pem, kPem);
  EXPECT_EQ(rest->bearer_token_file, (folder / "token").string());
  EXPECT_EQ(RestConfig::in_cluster("fd00::1", "443", folder.string())->server,
            "https://[fd00::1]:443");

  std::filesystem::remove(folder / "token");
  EXPECT_EQ(RestConfig::in_cluster("10.0.0.1", "443", folder.string()).error().code(),
            ErrorCode::NotFound);
  EXPECT_THAT(RestConfig::in_cluster("", "", folder.string()).error().message(),
              HasSubstr("not in a cluster"));
}

}  // namespace
}  // namespace kube
