#pragma once

#include <memory>

#include "net/http_server.h"
#include "oci/layout.h"
#include "registry/htpasswd.h"
#include "registry/manifest_index.h"
#include "registry/registry.h"
#include "registry/route.h"
#include "registry/upload_store.h"

/// The handlers of the API. Internal to `registry`.
namespace registry {

/// What the handlers share.
struct Service {
  Registry::Options options;
  oci::Layout layout;
  std::unique_ptr<ManifestIndex> index;
  std::unique_ptr<UploadStore> uploads;
  std::unique_ptr<Htpasswd> htpasswd;  ///< Null lets everybody in.

  /// Keeps an unused blob from being collected while its manifest is on the way. Errors: NotFound.
  base::Status touch(const oci::Digest& digest) const;
  Registry::Collected collect();
};

/// Each answers the exchange; an error that comes back was answered where that was possible.
base::Status serve_blob(Service& service, const Route& route, net::HttpExchange& exchange);
base::Status serve_uploads(Service& service, const Route& route, net::HttpExchange& exchange);
base::Status serve_upload(Service& service, const Route& route, net::HttpExchange& exchange);

base::Status serve_manifest(Service& service, const Route& route, net::HttpExchange& exchange);
base::Status serve_tags(Service& service, const Route& route, net::HttpExchange& exchange);
base::Status serve_catalog(Service& service, net::HttpExchange& exchange);
base::Status serve_referrers(Service& service, const Route& route, net::HttpExchange& exchange);

/// 405 with the methods that the path knows.
base::Status refuse_method(net::HttpExchange& exchange, std::string_view allowed);

}  // namespace registry
