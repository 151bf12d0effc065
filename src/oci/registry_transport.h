#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "net/http_client.h"
#include "oci/auth.h"
#include "oci/registry_client.h"

namespace oci {

/// What a request needs the right to do.
struct AccessScope {
  std::string domain;
  std::string repository;  ///< Empty for requests about the registry itself.
  std::string actions;     ///< `pull`, `pull,push`, `delete`, `*`
};

/// The failure that an answer of status 400 and more stands for, with the registry's own words.
base::Error error_of(std::string_view domain, const net::HttpResponse& response,
                     std::string_view body);

/// Counts the attempts of one operation and pauses between them.
class RetryState {
 public:
  explicit RetryState(const RegistryClient::Options& options) : options_(options) {}
  /// Waits for the next attempt; returns `failure` when it cannot be cured or attempts are used up.
  base::Status next(const base::Context& ctx, base::Error failure);
  void reset() { failures_ = 0; }

 private:
  const RegistryClient::Options& options_;
  int failures_ = 0;
};

/// Requests to registries with their credentials: answers Basic and Bearer challenges, keeps tokens
/// until shortly before they expire, and sends neither to a host that is not the registry's own.
class RegistryTransport {
 public:
  static base::Result<std::unique_ptr<RegistryTransport>> create(RegistryClient::Options options);

  const RegistryClient::Options& options() const { return options_; }
  /// `http://127.0.0.1:5001`
  std::string base_url(const std::string& domain) const;

  /// One attempt (two requests when challenged). An answer 401 to a body of `body_source`, which
  /// cannot be sent twice, becomes Unavailable: the next attempt has the token.
  base::Result<net::HttpResponse> once(const base::Context& ctx, const AccessScope& scope,
                                       net::HttpClientRequest request,
                                       const net::HttpResponseSink* sink = nullptr);
  /// With retries; an answer of 400 or more is an error.
  base::Result<net::HttpResponse> send(const base::Context& ctx, const AccessScope& scope,
                                       const net::HttpClientRequest& request);

 private:
  struct Authorization {
    std::string header;
    base::SteadyTime expires;
  };

  RegistryTransport(RegistryClient::Options options, std::unique_ptr<net::HttpClient> proxied,
                    std::unique_ptr<net::HttpClient> direct)
      : options_(std::move(options)), proxied_(std::move(proxied)), direct_(std::move(direct)) {}
  net::HttpClient& client_for(std::string_view url) const;
  base::Result<net::HttpResponse> perform(const base::Context& ctx,
                                          const net::HttpClientRequest& request,
                                          const net::HttpResponseSink* sink);
  base::Result<std::optional<Authorization>> answer(const base::Context& ctx,
                                                    const AccessScope& scope,
                                                    const net::HttpResponse& challenged);
  base::Result<Authorization> fetch_token(const base::Context& ctx, const AccessScope& scope,
                                          const Challenge& challenge,
                                          const std::optional<Credentials>& credentials);
  base::Status check_realm(const AccessScope& scope, const std::string& realm) const;

  const RegistryClient::Options options_;
  const std::unique_ptr<net::HttpClient> proxied_;
  const std::unique_ptr<net::HttpClient> direct_;  ///< No proxy reaches this machine's addresses.
  base::Guarded<std::map<std::string, Authorization>> authorizations_;
};

}  // namespace oci
