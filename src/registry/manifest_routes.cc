#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "json/value.h"
#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/reference.h"
#include "registry/api_error.h"
#include "registry/service.h"

/// Manifests and the lists made of them.
namespace registry {

using base::Error;
using base::ErrorCode;
using base::Status;
using oci::Digest;

namespace {

Status manifest_unknown(net::HttpExchange& exchange, const Route& route) {
  return respond_error(
      exchange, {404,
                 code::kManifestUnknown,
                 fmt::format("manifest unknown to registry: {}:{}", route.repository, route.target),
                 {}});
}

Status get_manifest(Service& service, const Route& route, net::HttpExchange& exchange) {
  const auto found = service.index->find(route.repository, route.target);
  if (!found) return manifest_unknown(exchange, route);
  auto bytes = service.layout.read_blob(found->descriptor.digest, oci::kMaxManifestBytes);
  if (!bytes) return respond_failure(exchange, bytes.error(), code::kManifestUnknown);
  net::HttpResponse response;
  response.headers.set("Content-Type", found->descriptor.media_type);
  response.headers.set("Docker-Content-Digest", found->descriptor.digest.text());
  response.headers.set("ETag", "\"" + found->descriptor.digest.text() + "\"");
  response.body = *std::move(bytes);
  return exchange.respond(std::move(response));
}

/// Every blob and manifest that `manifest` needs is here; they are kept from collection meanwhile.
Status check_children(const Service& service, const std::string& repository,
                      const oci::AnyManifest& manifest) {
  const bool index = std::holds_alternative<oci::Index>(manifest);
  for (const oci::Descriptor& child : oci::children_of(manifest)) {
    const std::string digest = child.digest.text();
    if (index && !service.index->find(repository, digest))
      return Error(ErrorCode::NotFound,
                   fmt::format("manifest {} is not in the repository", digest));
    if (!service.touch(child.digest))
      return Error(ErrorCode::NotFound, fmt::format("blob {} is not in the registry", digest));
    const auto size = service.layout.blob_size(child.digest);
    if (size && *size != child.bytes())
      return Error(ErrorCode::Invalid,
                   fmt::format("blob {} has {} bytes, not {}", digest, *size, child.size));
  }
  return {};
}

Status put_manifest(Service& service, const Route& route, net::HttpExchange& exchange) {
  const net::HttpRequestHead& request = exchange.request();
  auto body = exchange.read_body(oci::kMaxManifestBytes);
  if (!body) return respond_failure(exchange, body.error(), code::kManifestInvalid);
  oci::RawManifest raw;
  raw.media_type = net::media_type(request.headers.get_or("content-type", ""));
  raw.bytes = *std::move(body);
  raw.digest = Digest::of(raw.bytes);
  const auto wanted = Digest::parse(route.target);
  if (wanted && *wanted != raw.digest)
    return respond_error(exchange, {400,
                                    code::kDigestInvalid,
                                    fmt::format("the manifest has digest {}", raw.digest.text()),
                                    {}});
  if (!wanted && !oci::is_tag(route.target))
    return respond_error(
        exchange,
        {400, code::kManifestInvalid, "the reference is neither a tag nor a sha256 digest", {}});
  const auto decoded = raw.decode();
  if (!decoded)
    return respond_error(exchange, {400, code::kManifestInvalid, decoded.error().message(), {}});
  raw.media_type = std::visit([](const auto& m) { return m.media_type; }, *decoded);

  bool blob_missing = false;
  const auto ready = [&]() -> Status {
    Status children = check_children(service, route.repository, *decoded);
    blob_missing = !children;
    if (!children) return children;
    TRY(service.layout.write_blob(raw.bytes));
    return service.touch(raw.digest);
  };
  Status put = service.index->put(route.repository, wanted ? std::string() : route.target,
                                  describe_manifest(raw, *decoded), ready);
  if (!put && blob_missing)
    return respond_error(exchange, {400, code::kManifestBlobUnknown, put.error().message(), {}});
  if (!put) return respond_failure(exchange, put.error(), code::kManifestInvalid);

  net::HttpResponse response;
  response.status = 201;
  response.headers.set("Location",
                       fmt::format("/v2/{}/manifests/{}", route.repository, raw.digest.text()));
  response.headers.set("Docker-Content-Digest", raw.digest.text());
  if (const auto& subject = oci::subject_of(*decoded))
    response.headers.set("OCI-Subject", subject->digest.text());
  return exchange.respond(std::move(response));
}

Status delete_manifest(Service& service, const Route& route, net::HttpExchange& exchange) {
  const auto digest = Digest::parse(route.target);
  const Status removed = digest ? service.index->remove_manifest(route.repository, *digest)
                                : service.index->remove_tag(route.repository, route.target);
  if (!removed && removed.error().code() == ErrorCode::NotFound)
    return manifest_unknown(exchange, route);
  if (!removed) return respond_failure(exchange, removed.error(), code::kManifestInvalid);
  service.collect();
  net::HttpResponse response;
  response.status = 202;
  return exchange.respond(std::move(response));
}

struct Page {
  std::vector<std::string> names;
  bool more = false;
};

/// Applies `n` and `last` to a sorted list. Errors: Invalid.
base::Result<Page> page_of(std::vector<std::string> all, const net::HttpTarget& target) {
  std::size_t limit = kMaxPageEntries;
  if (const auto n = target.param("n")) {
    const auto parsed = std::from_chars(n->data(), n->data() + n->size(), limit);
    if (n->empty() || parsed.ec != std::errc() || parsed.ptr != n->data() + n->size())
      return Error(ErrorCode::Invalid, "n must be a number");
    limit = std::min(limit, kMaxPageEntries);
  }
  auto first = all.begin();
  if (const auto last = target.param("last"))
    first = std::upper_bound(all.begin(), all.end(), *last);
  Page page;
  const auto end =
      first + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(limit), all.end() - first);
  page.more = end != all.end() && limit > 0;
  page.names.assign(std::make_move_iterator(first), std::make_move_iterator(end));
  return page;
}

/// Answers a page of `all` under `member`, with a link to the next one.
Status respond_page(net::HttpExchange& exchange, std::vector<std::string> all,
                    json::Object document, std::string_view member) {
  const net::HttpTarget& target = exchange.request().target;
  const auto page = page_of(std::move(all), target);
  if (!page) return respond_error(exchange, {400, code::kUnsupported, page.error().message(), {}});
  json::Array names;
  for (const std::string& name : page->names) names.push_back(json::String(name));
  document.emplace(member, std::move(names));
  net::HttpResponse response = net::HttpResponse::json(200, json::dump(document));
  if (page->more)
    response.headers.set(
        "Link", fmt::format("<{}?n={}&last={}>; rel=\"next\"", target.path, page->names.size(),
                            base::url_encode(page->names.back())));
  return exchange.respond(std::move(response));
}

}  // namespace

Status serve_manifest(Service& service, const Route& route, net::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  if (method == "GET" || method == "HEAD") return get_manifest(service, route, exchange);
  if (method == "PUT") return put_manifest(service, route, exchange);
  if (method == "DELETE") return delete_manifest(service, route, exchange);
  return refuse_method(exchange, "GET, HEAD, PUT, DELETE");
}

Status serve_tags(Service& service, const Route& route, net::HttpExchange& exchange) {
  if (exchange.request().method != "GET" && exchange.request().method != "HEAD")
    return refuse_method(exchange, "GET");
  if (!service.index->has_repository(route.repository))
    return respond_error(exchange, {404, code::kNameUnknown,
                                    "repository name not known to registry", route.repository});
  return respond_page(exchange, service.index->tags(route.repository),
                      {{"name", json::String(route.repository)}}, "tags");
}

Status serve_catalog(Service& service, net::HttpExchange& exchange) {
  if (exchange.request().method != "GET" && exchange.request().method != "HEAD")
    return refuse_method(exchange, "GET");
  return respond_page(exchange, service.index->repositories(), {}, "repositories");
}

Status serve_referrers(Service& service, const Route& route, net::HttpExchange& exchange) {
  if (exchange.request().method != "GET" && exchange.request().method != "HEAD")
    return refuse_method(exchange, "GET");
  const auto digest = Digest::parse(route.target);
  if (!digest)
    return respond_error(exchange, {400, code::kDigestInvalid, digest.error().message(), {}});
  const auto wanted = exchange.request().target.param("artifactType");
  oci::Index index;
  index.media_type = oci::media_type::kOciIndex;
  for (const StoredManifest& manifest : service.index->referrers(route.repository, *digest)) {
    if (wanted && manifest.descriptor.artifact_type != *wanted) continue;
    index.manifests.push_back(manifest.descriptor);
    index.manifests.back().annotations = manifest.annotations;
  }
  net::HttpResponse response = net::HttpResponse::json(200, json::dump(json::encode(index)));
  response.headers.set("Content-Type", std::string(oci::media_type::kOciIndex));
  if (wanted) response.headers.set("OCI-Filters-Applied", "artifactType");
  return exchange.respond(std::move(response));
}

}  // namespace registry
