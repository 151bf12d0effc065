#include "oci/registry_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "base/guarded.h"
#include "json/value.h"
#include "oci/blob_download.h"
#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/registry_transport.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr int kPageEntries = 1000;

AccessScope scope_of(const Reference& ref, std::string actions) {
  return {ref.domain, ref.repository, std::move(actions)};
}

std::string accept_header() {
  return fmt::format("{}, {}, {}, {}", media_type::kOciManifest, media_type::kOciIndex,
                     media_type::kDockerManifest, media_type::kDockerList);
}

base::Result<std::uint64_t> parse_number(std::string_view text, std::string_view what) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("registry: {} \"{}\" is not a number", what, text.substr(0, 80)));
  }
  return number;
}

/// The target of `<URL>; rel="next"`, or "".
std::string next_link(const net::HttpResponse& response) {
  const std::string_view link = response.headers.get_or("link", "");
  const auto open = link.find('<');
  const auto close = link.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  if (!link.substr(close).contains("rel=\"next\"") && !link.substr(close).contains("rel=next"))
    return {};
  return std::string(link.substr(open + 1, close - open - 1));
}

/// The bytes of an upload: a part of a file, or of memory.
class UploadSource {
 public:
  static base::Result<UploadSource> open(const std::filesystem::path& file) {
    UploadSource source;
    source.file_ = base::UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!source.file_) return file_error(fmt::format("reading {}", file.string()), errno);
    source.name_ = file.string();
    return source;
  }
  static UploadSource memory(std::string_view bytes) {
    UploadSource source;
    source.bytes_ = bytes;
    return source;
  }

  base::Result<std::size_t> read(std::span<char> buffer, std::uint64_t offset) const {
    if (!file_)
      return bytes_.copy(buffer.data(), buffer.size(),
                         std::min<std::size_t>(offset, bytes_.size()));
    for (;;) {
      const auto got =
          ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return base::system_error(fmt::format("reading {}", name_), errno);
    }
  }

 private:
  UploadSource() = default;
  base::UniqueFd file_;
  std::string name_;
  std::string bytes_;  // Small: configs only.
};

}  // namespace

class RegistryClient::Core {
 public:
  explicit Core(std::unique_ptr<RegistryTransport> transport) : transport_(std::move(transport)) {}

  RegistryTransport& transport() { return *transport_; }

  std::string url(const Reference& ref, std::string_view rest) const {
    return fmt::format("{}/v2/{}/{}", transport_->base_url(ref.domain), ref.repository, rest);
  }

  /// An absolute form of what a registry put into Location or Link.
  std::string absolute(const std::string& domain, std::string location) const {
    return location.starts_with("/") ? transport_->base_url(domain) + location : location;
  }

  /// `ref` as the mirrors of its registry name it, those that failed left out.
  std::vector<Reference> mirrors_of(const Reference& ref) const;
  /// Leaves a mirror out from now on, unless it merely lacks what was asked for.
  void distrust(const base::Context& ctx, const Reference& mirror, const Error& failure);
  base::Result<RawManifest> get_manifest(const base::Context& ctx, const Reference& ref);
  Status upload(const base::Context& ctx, const Reference& ref, const Descriptor& blob,
                const UploadSource& source, const ProgressCallback& progress);
  base::Result<std::vector<std::string>> list(const base::Context& ctx, const AccessScope& scope,
                                              std::string url, std::string_view member);

 private:
  struct UploadState {
    std::string location;
    std::uint64_t sent = 0;
    bool uncertain = false;  ///< A request broke: what the registry holds must be asked for.
  };
  Status upload_once(const base::Context& ctx, const Reference& ref, const Descriptor& blob,
                     const UploadSource& source, const ProgressCallback& progress,
                     UploadState& state);
  base::Result<net::HttpResponse> send_part(const base::Context& ctx, const Reference& ref,
                                            net::HttpClientRequest request,
                                            const UploadSource& source, std::uint64_t offset,
                                            std::uint64_t total, const ProgressCallback& progress);
  Status recover(const base::Context& ctx, const Reference& ref, UploadState& state);

  const std::unique_ptr<RegistryTransport> transport_;
  base::Guarded<std::set<std::string>> broken_mirrors_;
};

std::vector<Reference> RegistryClient::Core::mirrors_of(const Reference& ref) const {
  std::vector<Reference> mirrors;
  const auto configured = transport_->options().mirrors.find(ref.domain);
  if (configured == transport_->options().mirrors.end()) return mirrors;
  for (const std::string& place : configured->second) {
    if (broken_mirrors_.with(
            [&](const auto& broken) { return broken.contains(place.substr(0, place.find('/'))); }))
      continue;
    const auto slash = place.find('/');
    Reference mirror = ref;
    mirror.domain = place.substr(0, slash);
    if (slash != std::string::npos)
      mirror.repository = place.substr(slash + 1) + "/" + ref.repository;
    mirrors.push_back(std::move(mirror));
  }
  return mirrors;
}

void RegistryClient::Core::distrust(const base::Context& ctx, const Reference& mirror,
                                    const Error& failure) {
  ctx.log().info("a registry mirror is passed over",
                 {{"mirror", mirror.domain}, {"failure", failure.message()}});
  if (failure.code() == ErrorCode::NotFound) return;
  broken_mirrors_.with([&](auto& broken) { broken.insert(mirror.domain); });
}

RegistryClient::RegistryClient(std::unique_ptr<Core> core) : core_(std::move(core)) {}
RegistryClient::~RegistryClient() = default;

base::Result<std::unique_ptr<RegistryClient>> RegistryClient::create(Options options) {
  auto transport = TRY(RegistryTransport::create(std::move(options)));
  return std::unique_ptr<RegistryClient>(
      new RegistryClient(std::make_unique<Core>(std::move(transport))));
}

Status RegistryClient::ping(const base::Context& ctx, const std::string& domain) {
  net::HttpClientRequest request;
  request.url = core_->transport().base_url(domain) + "/v2/";
  TRY(core_->transport().send(ctx, {domain, "", ""}, request));
  return {};
}

// --- manifests ----------------------------------------------------------------------------------

base::Result<Descriptor> RegistryClient::resolve(const base::Context& ctx, const Reference& ref) {
  net::HttpClientRequest request;
  request.method = "HEAD";
  request.url = core_->url(ref, "manifests/" + ref.target());
  request.headers.set("Accept", accept_header());
  const auto response = TRY(core_->transport().send(ctx, scope_of(ref, "pull"), request));
  const auto digest = Digest::parse(response.headers.get_or("docker-content-digest", ""));
  const auto size = parse_number(response.headers.get_or("content-length", ""), "Content-Length");
  Descriptor descriptor;
  descriptor.media_type = net::media_type(response.headers.get_or("content-type", ""));
  if (!digest || !size || descriptor.media_type.empty())
    return TRY(get_manifest(ctx, ref)).descriptor();
  if (ref.digest && *ref.digest != *digest) {
    return digest_mismatch(
        fmt::format("registry {} answers {} for {}", ref.domain, digest->text(), ref.text()));
  }
  descriptor.digest = *digest;
  descriptor.size = static_cast<std::int64_t>(*size);
  return descriptor;
}

base::Result<RawManifest> RegistryClient::get_manifest(const base::Context& ctx,
                                                       const Reference& ref) {
  for (const Reference& mirror : core_->mirrors_of(ref)) {
    auto found = core_->get_manifest(ctx, mirror);
    if (found || ctx.done()) return found;
    core_->distrust(ctx, mirror, found.error());
  }
  return core_->get_manifest(ctx, ref);
}

base::Result<RawManifest> RegistryClient::Core::get_manifest(const base::Context& ctx,
                                                             const Reference& ref) {
  net::HttpClientRequest request;
  request.url = url(ref, "manifests/" + ref.target());
  request.headers.set("Accept", accept_header());
  auto response = TRY(transport_->send(ctx, scope_of(ref, "pull"), request));
  RawManifest manifest;
  manifest.bytes = std::move(response.body);
  manifest.digest = Digest::of(manifest.bytes);
  const auto told = Digest::parse(response.headers.get_or("docker-content-digest", ""));
  const Digest& wanted = ref.digest ? *ref.digest : told ? *told : manifest.digest;
  if (wanted != manifest.digest) {
    return digest_mismatch(fmt::format("manifest of {} has digest {}, expected {}", ref.text(),
                                       manifest.digest.text(), wanted.text()));
  }
  manifest.media_type = net::media_type(response.headers.get_or("content-type", ""));
  if (!media_type::is_manifest(manifest.media_type) && !media_type::is_index(manifest.media_type)) {
    const AnyManifest decoded = TRY(decode_manifest(manifest.bytes, ""));
    manifest.media_type = std::visit([](const auto& m) { return m.media_type; }, decoded);
  }
  return manifest;
}

base::Result<Descriptor> RegistryClient::put_manifest(const base::Context& ctx,
                                                      const Reference& ref,
                                                      const RawManifest& manifest) {
  net::HttpClientRequest request;
  request.method = "PUT";
  request.url =
      core_->url(ref, "manifests/" + (ref.tag.empty() ? manifest.digest.text() : ref.tag));
  request.headers.set("Content-Type", manifest.media_type);
  request.body = manifest.bytes;
  const auto response = TRY(core_->transport().send(ctx, scope_of(ref, "pull,push"), request));
  const auto told = Digest::parse(response.headers.get_or("docker-content-digest", ""));
  if (told && *told != manifest.digest) {
    return digest_mismatch(fmt::format("registry {} stored the manifest as {}, expected {}",
                                       ref.domain, told->text(), manifest.digest.text()));
  }
  return manifest.descriptor();
}

Status RegistryClient::delete_manifest(const base::Context& ctx, const Reference& ref) {
  net::HttpClientRequest request;
  request.method = "DELETE";
  request.url = core_->url(ref, "manifests/" + ref.target());
  TRY(core_->transport().send(ctx, scope_of(ref, "delete"), request));
  return {};
}

// --- downloads ----------------------------------------------------------------------------------

base::Result<bool> RegistryClient::has_blob(const base::Context& ctx, const Reference& ref,
                                            const Digest& digest) {
  net::HttpClientRequest request;
  request.method = "HEAD";
  request.url = core_->url(ref, "blobs/" + digest.text());
  const auto response = core_->transport().send(ctx, scope_of(ref, "pull"), request);
  if (response) return true;
  if (response.error().code() == ErrorCode::NotFound) return false;
  return response.error();
}

base::Result<std::string> RegistryClient::get_blob(const base::Context& ctx, const Reference& ref,
                                                   const Descriptor& blob,
                                                   std::size_t limit_bytes) {
  if (blob.bytes() > limit_bytes) {
    return Error(ErrorCode::Invalid, fmt::format("blob {} has {} bytes, more than {}",
                                                 blob.digest.text(), blob.size, limit_bytes));
  }
  std::string bytes;
  TRY(fetch_blob(ctx, ref, blob, 0, [&](std::string_view part) -> Status {
    bytes += part;
    return {};
  }));
  if (Digest::of(bytes) != blob.digest)
    return digest_mismatch(fmt::format("blob {} arrived altered", blob.digest.text()));
  return bytes;
}

Status RegistryClient::fetch_blob(const base::Context& ctx, const Reference& ref,
                                  const Descriptor& blob, std::uint64_t offset, const Take& take) {
  std::uint64_t position = offset;
  bool refused = false;
  for (const Reference& mirror : core_->mirrors_of(ref)) {
    BlobDownload download(core_->transport(), mirror, blob,
                          core_->url(mirror, "blobs/" + blob.digest.text()));
    const Status fetched = download.run(ctx, position, take, refused);
    if (fetched || refused || ctx.done()) return fetched;
    core_->distrust(ctx, mirror, fetched.error());
  }
  BlobDownload download(core_->transport(), ref, blob,
                        core_->url(ref, "blobs/" + blob.digest.text()));
  return download.run(ctx, position, take, refused);
}

// --- uploads ------------------------------------------------------------------------------------

Status RegistryClient::push_blob(const base::Context& ctx, const Reference& ref,
                                 const Descriptor& blob, const std::filesystem::path& file,
                                 const ProgressCallback& progress) {
  const UploadSource source = TRY(UploadSource::open(file));
  return core_->upload(ctx, ref, blob, source, progress);
}

Status RegistryClient::push_blob(const base::Context& ctx, const Reference& ref,
                                 const Descriptor& blob, std::string_view bytes) {
  return core_->upload(ctx, ref, blob, UploadSource::memory(bytes), {});
}

Status RegistryClient::Core::upload(const base::Context& ctx, const Reference& ref,
                                    const Descriptor& blob, const UploadSource& source,
                                    const ProgressCallback& progress) {
  net::HttpClientRequest probe;
  probe.method = "HEAD";
  probe.url = url(ref, "blobs/" + blob.digest.text());
  // Asked with the right to push, so that one token serves the whole upload.
  const auto known = transport_->send(ctx, scope_of(ref, "pull,push"), probe);
  if (known) {
    if (progress) progress({blob.bytes(), blob.bytes()});
    return {};
  }
  if (known.error().code() != ErrorCode::NotFound) return known.error();

  UploadState state;
  RetryState retry(transport_->options());
  for (;;) {
    const std::uint64_t before = state.sent;
    Status tried = state.uncertain ? recover(ctx, ref, state) : Status();
    if (tried) tried = upload_once(ctx, ref, blob, source, progress, state);
    if (tried) return {};
    TRY(ctx.check());
    if (tried.error().code() == ErrorCode::NotFound && !state.location.empty()) {
      // The registry forgot the upload: begin again.
      state = {};
      tried = Error(ErrorCode::Unavailable, tried.error().message());
    }
    state.uncertain = !state.location.empty();
    if (state.sent >= before + kProgressResetsAttempts) retry.reset();
    TRY(retry.next(ctx, std::move(tried).error()));
  }
}

/// Asks the registry how much of a broken upload it holds; forgets the upload when it cannot say.
/// Errors: Unavailable when nobody answers: going on without knowing would repeat bytes.
Status RegistryClient::Core::recover(const base::Context& ctx, const Reference& ref,
                                     UploadState& state) {
  net::HttpClientRequest request;
  request.url = state.location;
  const auto response = TRY(transport_->once(ctx, scope_of(ref, "pull,push"), request));
  constexpr int kStillHeld = 409;
  if (response.status >= 500 || response.status == kStillHeld) {
    return Error(ErrorCode::Unavailable, fmt::format("registry {}: {} on asking for an upload",
                                                     ref.domain, response.status));
  }
  const std::string_view range = response.headers.get_or("range", "");
  const auto last = parse_number(
      range.substr(range.find('-') == std::string_view::npos ? range.size() : range.find('-') + 1),
      "Range");
  // "0-0" stands for nothing or for one byte: not worth telling apart.
  if (response.status != 204 || !last || *last == 0) {
    state = {};
    return {};
  }
  state.uncertain = false;
  state.sent = *last + 1;
  if (const auto location = response.headers.get("location"))
    state.location = absolute(ref.domain, std::string(*location));
  return {};
}

Status RegistryClient::Core::upload_once(const base::Context& ctx, const Reference& ref,
                                         const Descriptor& blob, const UploadSource& source,
                                         const ProgressCallback& progress, UploadState& state) {
  const AccessScope scope = scope_of(ref, "pull,push");
  const auto expect = [&](const net::HttpResponse& response, int status) -> Status {
    if (response.status == status) return {};
    if (response.status >= 400) return error_of(ref.domain, response, response.body);
    return Error(ErrorCode::Invalid, fmt::format("registry {}: answered an upload with {}",
                                                 ref.domain, response.status));
  };
  const auto take_location = [&](const net::HttpResponse& response) -> Status {
    const auto location = response.headers.get("location");
    if (!location)
      return Error(ErrorCode::Invalid,
                   fmt::format("registry {}: no Location for an upload", ref.domain));
    state.location = absolute(ref.domain, std::string(*location));
    return {};
  };
  if (state.location.empty()) {
    net::HttpClientRequest begin;
    begin.method = "POST";
    begin.url = url(ref, "blobs/uploads/");
    const auto response = TRY(transport_->once(ctx, scope, begin));
    TRY(expect(response, 202));
    TRY(take_location(response));
    state.sent = 0;
  }
  if (state.sent > 0 && state.sent < blob.bytes()) {
    net::HttpClientRequest rest;
    rest.method = "PATCH";
    rest.url = state.location;
    rest.headers.set("Content-Range", fmt::format("{}-{}", state.sent, blob.bytes() - 1));
    const auto response =
        TRY(send_part(ctx, ref, std::move(rest), source, state.sent, blob.bytes(), progress));
    TRY(expect(response, 202));
    TRY(take_location(response));
    state.sent = blob.bytes();
  }
  net::HttpClientRequest finish;
  finish.method = "PUT";
  finish.url =
      fmt::format("{}{}digest={}", state.location, state.location.contains('?') ? "&" : "?",
                  base::url_encode(blob.digest.text()));
  const auto response =
      TRY(send_part(ctx, ref, std::move(finish), source, state.sent, blob.bytes(), progress));
  if (response.status == 400 || response.status == 416)
    state.location.clear();  // What the registry holds is of no use.
  return expect(response, 201);
}

base::Result<bool> RegistryClient::mount_blob(const base::Context& ctx, const Reference& ref,
                                              const Digest& digest,
                                              const std::string& from_repository) {
  net::HttpClientRequest request;
  request.method = "POST";
  request.url = core_->url(
      ref, fmt::format("blobs/uploads/?mount={}&from={}", base::url_encode(digest.text()),
                       base::url_encode(from_repository)));
  const auto response = TRY(core_->transport().send(ctx, scope_of(ref, "pull,push"), request));
  if (response.status == 201) return true;
  if (const auto location = response.headers.get("location")) {
    net::HttpClientRequest cancel;
    cancel.method = "DELETE";
    cancel.url = core_->absolute(ref.domain, std::string(*location));
    (void)core_->transport().once(ctx, scope_of(ref, "pull,push"), cancel);
  }
  return false;
}

Status RegistryClient::check_push(const base::Context& ctx, const Reference& ref) {
  const AccessScope scope = scope_of(ref, "pull,push");
  net::HttpClientRequest begin;
  begin.method = "POST";
  begin.url = core_->url(ref, "blobs/uploads/");
  const auto response = TRY(core_->transport().send(ctx, scope, begin));
  if (response.status != 202) {
    return Error(ErrorCode::Invalid, fmt::format("registry {}: answered an upload with {}",
                                                 ref.domain, response.status));
  }
  const auto location = response.headers.get("location");
  if (!location) return {};
  net::HttpClientRequest cancel;
  cancel.method = "DELETE";
  cancel.url = core_->absolute(ref.domain, std::string(*location));
  // Registries that cannot cancel forget the upload by themselves.
  (void)core_->transport().once(ctx, scope, cancel);
  return {};
}

base::Result<net::HttpResponse> RegistryClient::Core::send_part(
    const base::Context& ctx, const Reference& ref, net::HttpClientRequest request,
    const UploadSource& source, std::uint64_t offset, std::uint64_t total,
    const ProgressCallback& progress) {
  request.headers.set("Content-Type", "application/octet-stream");
  std::uint64_t position = offset;
  if (offset < total) {
    request.body_source_bytes = total - offset;
    request.body_source = [&](std::span<char> buffer) -> base::Result<std::size_t> {
      const std::size_t room =
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), total - position));
      if (room == 0) return std::size_t{0};
      const std::size_t got = TRY(source.read(buffer.first(room), position));
      if (got == 0)
        return Error(ErrorCode::Invalid, "the file became shorter while it was uploaded");
      position += got;
      if (progress) progress({position, total});
      return got;
    };
  }
  return transport_->once(ctx, scope_of(ref, "pull,push"), std::move(request));
}

// --- lists --------------------------------------------------------------------------------------

base::Result<std::vector<std::string>> RegistryClient::Core::list(const base::Context& ctx,
                                                                  const AccessScope& scope,
                                                                  std::string url,
                                                                  std::string_view member) {
  std::vector<std::string> all;
  for (int page = 0; page < kMaxPages && !url.empty(); ++page) {
    net::HttpClientRequest request;
    request.url = url;
    const auto response = TRY(transport_->send(ctx, scope, request));
    const json::Value document = TRY(
        base::with_context(json::parse(response.body), fmt::format("registry {}", scope.domain)));
    if (const json::Array* names = json::find_array(document, member)) {
      for (const json::Value& name : *names) {
        if (name.is_string()) all.push_back(json::to_string(name.get_string()));
      }
    }
    url = next_link(response);
    if (!url.empty()) url = absolute(scope.domain, std::move(url));
  }
  return all;
}

base::Result<std::vector<std::string>> RegistryClient::list_tags(const base::Context& ctx,
                                                                 const Reference& repository) {
  return core_->list(ctx, scope_of(repository, "pull"),
                     core_->url(repository, fmt::format("tags/list?n={}", kPageEntries)), "tags");
}

base::Result<std::vector<std::string>> RegistryClient::list_repositories(
    const base::Context& ctx, const std::string& domain) {
  return core_->list(
      ctx, {domain, "", "*"},
      fmt::format("{}/v2/_catalog?n={}", core_->transport().base_url(domain), kPageEntries),
      "repositories");
}

}  // namespace oci
