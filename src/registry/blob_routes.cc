#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/reference.h"
#include "registry/api_error.h"
#include "registry/service.h"

/// Blobs and uploads.
namespace registry {

using base::ErrorCode;
using base::Status;
using oci::Digest;

namespace {

net::HttpResponse empty_response(int status) {
  net::HttpResponse response;
  response.status = status;
  return response;
}

std::string upload_url(const Route& route, std::string_view id) {
  return fmt::format("/v2/{}/blobs/uploads/{}", route.repository, id);
}

net::HttpResponse upload_response(int status, const Route& route,
                                  const UploadStore::Lease& upload) {
  net::HttpResponse response = empty_response(status);
  response.headers.set("Location", upload_url(route, upload.id()));
  response.headers.set("Range", fmt::format("0-{}", upload.size() == 0 ? 0 : upload.size() - 1));
  response.headers.set("Docker-Upload-UUID", upload.id());
  return response;
}

net::HttpResponse created_response(const Route& route, const Digest& digest) {
  net::HttpResponse response = empty_response(201);
  response.headers.set("Location", fmt::format("/v2/{}/blobs/{}", route.repository, digest.text()));
  response.headers.set("Docker-Content-Digest", digest.text());
  return response;
}

std::optional<std::uint64_t> content_length(const net::HttpRequestHead& request) {
  const auto header = request.headers.get("content-length");
  std::uint64_t length = 0;
  if (!header ||
      std::from_chars(header->data(), header->data() + header->size(), length).ec != std::errc())
    return std::nullopt;
  return length;
}

/// Refuses a body that cannot fit before a byte of it is read.
Status check_space(const Service& service, const net::HttpRequestHead& request) {
  const auto length = content_length(request);
  if (!length || *length == 0) return {};
  const std::uint64_t available = TRY(service.options.available_bytes(service.layout.root()));
  if (*length + oci::kDiskReserveBytes > available)
    return oci::disk_full("the registry's folder", {*length + oci::kDiskReserveBytes, available});
  return {};
}

Status receive(net::HttpExchange& exchange, UploadStore::Lease& upload) {
  std::vector<char> buffer(kCopyBufferBytes);
  for (;;) {
    const std::size_t got = TRY(exchange.read_some(buffer));
    if (got == 0) return {};
    TRY(upload.append({buffer.data(), got}));
  }
}

/// 416 when the request says where its bytes belong and that is not the end of the upload.
std::optional<net::HttpResponse> misplaced(const net::HttpRequestHead& request, const Route& route,
                                           const UploadStore::Lease& upload) {
  const auto header = request.headers.get("content-range");
  if (!header) return std::nullopt;
  const auto range = parse_chunk_range(*header);
  const auto length = content_length(request);
  if (range && range->offset == upload.size() && (!length || *length == range->length))
    return std::nullopt;
  return upload_response(416, route, upload);
}

/// Answers only when the upload is free again: clients send the next request on seeing the answer.
Status respond_and_release(net::HttpExchange& exchange, net::HttpResponse response,
                           UploadStore::Lease& upload) {
  upload.release();
  return exchange.respond(std::move(response));
}

Status finish_upload(Service& service, const Route& route, net::HttpExchange& exchange,
                     UploadStore::Lease& upload, const Digest& digest) {
  if (Status finished = upload.finish(digest); !finished) {
    if (oci::is_digest_mismatch(finished.error()))
      return respond_error(exchange,
                           {400, code::kDigestInvalid, finished.error().message(), digest.text()});
    return respond_failure(exchange, finished.error(), code::kUploadInvalid);
  }
  TRY(service.touch(digest));
  return exchange.respond(created_response(route, digest));
}

Status delete_blob(Service& service, net::HttpExchange& exchange, const Digest& digest) {
  bool used = false;
  bool found = false;
  service.index->exclusively([&] {
    used = service.index->referenced().contains(digest);
    std::error_code error;
    if (!used) found = std::filesystem::remove(service.layout.blob_path(digest), error);
  });
  if (used)
    return respond_error(
        exchange, {405, code::kUnsupported, "the blob is part of a manifest; delete that first",
                   digest.text()});
  if (!found)
    return respond_error(exchange,
                         {404, code::kBlobUnknown, "blob unknown to registry", digest.text()});
  return exchange.respond(empty_response(202));
}

}  // namespace

Status serve_blob(Service& service, const Route& route, net::HttpExchange& exchange) {
  const net::HttpRequestHead& request = exchange.request();
  const auto digest = Digest::parse(route.target);
  if (!digest)
    return respond_error(exchange, {400, code::kDigestInvalid, digest.error().message(), {}});
  if (request.method == "DELETE") return delete_blob(service, exchange, *digest);
  if (request.method != "GET" && request.method != "HEAD")
    return refuse_method(exchange, "GET, HEAD, DELETE");
  const auto size = service.layout.blob_size(*digest);
  if (!size)
    return respond_error(exchange,
                         {404, code::kBlobUnknown, "blob unknown to registry", digest->text()});
  // Whoever asks for it may be about to push a manifest that needs it.
  if (request.method == "HEAD") TRY(service.touch(*digest));

  net::HttpResponse response = empty_response(200);
  response.headers.set("Content-Type", "application/octet-stream");
  response.headers.set("Docker-Content-Digest", digest->text());
  response.headers.set("ETag", "\"" + digest->text() + "\"");
  response.headers.set("Accept-Ranges", "bytes");
  response.headers.set("Cache-Control", "max-age=31536000");
  const auto range = parse_range(request.headers.get("range"), *size);
  if (std::holds_alternative<RangeNotSatisfiable>(range)) {
    response = to_response({416, code::kSizeInvalid, "the range is not in the blob", {}});
    response.headers.set("Content-Range", fmt::format("bytes */{}", *size));
    return exchange.respond(std::move(response));
  }
  ByteRange part{0, *size};
  if (const auto* wanted = std::get_if<ByteRange>(&range)) {
    part = *wanted;
    response.status = 206;
    response.headers.set("Content-Range", fmt::format("bytes {}-{}/{}", part.offset,
                                                      part.offset + part.length - 1, *size));
  }
  return exchange.send_file(std::move(response), service.layout.blob_path(*digest), part.offset,
                            part.length);
}

Status serve_uploads(Service& service, const Route& route, net::HttpExchange& exchange) {
  const net::HttpRequestHead& request = exchange.request();
  if (request.method != "POST") return refuse_method(exchange, "POST");
  if (const auto mount = request.target.param("mount")) {
    const auto digest = Digest::parse(*mount);
    if (!digest)
      return respond_error(exchange, {400, code::kDigestInvalid, digest.error().message(), {}});
    if (service.touch(*digest)) return exchange.respond(created_response(route, *digest));
  }
  std::optional<Digest> digest;
  if (const auto text = request.target.param("digest")) {
    auto parsed = Digest::parse(*text);
    if (!parsed)
      return respond_error(exchange, {400, code::kDigestInvalid, parsed.error().message(), {}});
    digest = *std::move(parsed);
  }
  if (Status space = check_space(service, request); !space)
    return respond_failure(exchange, space.error(), code::kUploadInvalid);
  service.uploads->expire(service.options.upload_life);
  auto upload = service.uploads->begin();
  if (!upload) {
    if (upload.error().code() != ErrorCode::Throttled)
      return respond_failure(exchange, upload.error(), code::kUploadInvalid);
    net::HttpResponse busy = to_response({429, code::kTooMany, upload.error().message(), {}});
    busy.headers.set("Retry-After", "5");
    return exchange.respond(std::move(busy));
  }
  if (!digest) return respond_and_release(exchange, upload_response(202, route, *upload), *upload);
  if (Status received = receive(exchange, *upload); !received) {
    upload->remove();  // Nobody knows its name.
    return respond_failure(exchange, received.error(), code::kUploadInvalid);
  }
  return finish_upload(service, route, exchange, *upload, *digest);
}

Status serve_upload(Service& service, const Route& route, net::HttpExchange& exchange) {
  const net::HttpRequestHead& request = exchange.request();
  const std::string& method = request.method;
  if (method != "GET" && method != "PATCH" && method != "PUT" && method != "DELETE")
    return refuse_method(exchange, "GET, PATCH, PUT, DELETE");
  auto upload = service.uploads->resume(route.target);
  if (!upload) {
    if (upload.error().code() == ErrorCode::Conflict)
      return respond_error(exchange, {409, code::kUploadInvalid, upload.error().message(), {}});
    return respond_error(exchange,
                         {404, code::kUploadUnknown, "blob upload unknown to registry", {}});
  }
  if (method == "GET")
    return respond_and_release(exchange, upload_response(204, route, *upload), *upload);
  if (method == "DELETE") {
    upload->remove();
    return exchange.respond(empty_response(204));
  }
  std::optional<Digest> digest;
  if (method == "PUT") {
    auto parsed = Digest::parse(request.target.param("digest").value_or(""));
    if (!parsed)
      return respond_error(exchange, {400, code::kDigestInvalid, parsed.error().message(), {}});
    digest = *std::move(parsed);
  }
  if (auto refusal = misplaced(request, route, *upload))
    return respond_and_release(exchange, *std::move(refusal), *upload);
  if (Status space = check_space(service, request); !space) {
    upload->release();
    return respond_failure(exchange, space.error(), code::kUploadInvalid);
  }
  if (Status received = receive(exchange, *upload); !received) {
    upload->release();
    return respond_failure(exchange, received.error(), code::kUploadInvalid);
  }
  if (!digest) return respond_and_release(exchange, upload_response(202, route, *upload), *upload);
  return finish_upload(service, route, exchange, *upload, *digest);
}

}  // namespace registry
