#include "apps/kaito/image_admin.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <stop_token>

#include "base/encoding.h"
#include "base/file.h"
#include "base/signals.h"
#include "oci/failure.h"
#include "oci/image_files.h"
#include "oci/limits.h"

namespace kaito {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr mode_t kSecretMode = 0600;

json::String text(std::string_view value) { return json::String(value); }

json::Object describe_part(const oci::Descriptor& blob) {
  return {{"digest", text(blob.digest.text())},
          {"size", blob.size},
          {"mediaType", text(blob.media_type)}};
}

json::Object describe_image(const oci::Image& image) {
  json::Array files;
  for (const oci::ImageFile& file : image.files) {
    json::Object part = describe_part(file.blob);
    part.emplace("path", text(file.path));
    files.push_back(std::move(part));
  }
  json::Array layers;
  for (const oci::Descriptor& layer : image.archives) layers.push_back(describe_part(layer));
  json::Object annotations;
  for (const auto& [key, value] : image.manifest.annotations) annotations[key] = text(value);
  return {{"reference", text(image.reference.text())},
          {"digest", text(image.reference.digest->text())},
          {"form", text(oci::to_string(image.form))},
          {"artifactType", text(image.manifest.effective_artifact_type())},
          {"size", image.total_bytes()},
          {"annotations", std::move(annotations)},
          {"files", std::move(files)},
          {"layers", std::move(layers)}};
}

void print_image(const oci::Image& image) {
  fmt::print("reference      {}\nform           {}\nartifact type  {}\nsize           {}\n",
             image.reference.text(), oci::to_string(image.form),
             image.manifest.effective_artifact_type(), oci::format_bytes(image.total_bytes()));
  for (const auto& [key, value] : image.manifest.annotations)
    fmt::print("annotation     {}={}\n", key, value);
  for (const oci::ImageFile& file : image.files)
    fmt::print("file           {}  {}  {}  {}\n", file.path, oci::format_bytes(file.blob.bytes()),
               file.blob.media_type, file.blob.digest.text());
  for (const oci::Descriptor& layer : image.archives)
    fmt::print("layer          {}  {}  {}\n", oci::format_bytes(layer.bytes()), layer.media_type,
               layer.digest.text());
}

void print_row(const std::string& repository, const std::string& tag,
               const Result<oci::Image>& image) {
  if (!image) {
    fmt::print("{:<48} {:<16} {:<14} {:>10}  {}\n", repository, tag, "-", "-",
               image.error().message());
    return;
  }
  fmt::print("{:<48} {:<16} {:<14} {:>10}  {}\n", repository, tag,
             image->reference.digest->short_hex(), oci::format_bytes(image->total_bytes()),
             oci::to_string(image->form));
}

/// The docker config with one entry more; everything else in it stays.
Result<std::string> with_login(const std::string& config, const LoginOptions& options) {
  json::Value document = json::Object{};
  if (!config.empty()) document = TRY(json::parse(config));
  if (!document.is_object()) return Error(ErrorCode::Invalid, "expected an object");
  json::Value& auths = document.get_object()["auths"];
  if (!auths.is_object()) auths.emplace_object();
  const std::string key =
      options.registry == "docker.io" ? "https://index.docker.io/v1/" : options.registry;
  auths.get_object()[key] =
      json::Object{{"auth", text(base::to_base64(options.user + ":" + options.password))}};
  return json::dump_pretty(document) + "\n";
}

}  // namespace

ModelExit model_exit_of(const Error& error) {
  if (oci::is_disk_full(error)) return ModelExit::DiskFull;
  if (oci::is_digest_mismatch(error)) return ModelExit::Altered;
  if (error.http_status() == 404) return ModelExit::NotFound;
  switch (error.code()) {
    case ErrorCode::Cancelled:
      return ModelExit::Interrupted;
    case ErrorCode::Unavailable:
    case ErrorCode::Throttled:
    case ErrorCode::Timeout:
      return ModelExit::Unreachable;
    default:
      return ModelExit::Failed;
  }
}

int exit_with(const Status& status) {
  if (status) return 0;
  const ModelExit exit = model_exit_of(status.error());
  if (exit == ModelExit::Interrupted) {
    fmt::print(stderr, "interrupted; run the same command again to go on\n");
  } else {
    (void)fail(status.error());
  }
  return static_cast<int>(exit);
}

int run_interruptible(const std::function<int(const base::Context&)>& work) {
  std::stop_source stop;
  const base::SignalWatcher watcher([&](int) { stop.request_stop(); });
  return work(base::Context(stop.get_token()));
}

Status list_images(const base::Context& ctx, const Session& session, const std::string& registry,
                   const RegistryAccess& access, Output output) {
  const std::string domain = registry.empty() ? TRY(running_registry(session)) : registry;
  const auto client = TRY(make_registry_client(access));
  const auto repositories = TRY(client->list_repositories(ctx, domain));
  json::Array rows;
  if (output == Output::Text)
    fmt::print("{:<48} {:<16} {:<14} {:>10}  {}\n", "NAME", "TAG", "DIGEST", "SIZE", "FORMAT");
  for (const std::string& repository : repositories) {
    oci::Reference ref;
    ref.domain = domain;
    ref.repository = repository;
    const auto tags = TRY(client->list_tags(ctx, ref));
    for (const std::string& tag : tags) {
      ref.tag = tag;
      const auto image = oci::inspect_image(ctx, *client, ref);
      TRY(ctx.check());
      if (output == Output::Text) {
        print_row(repository, tag, image);
        continue;
      }
      json::Object row{{"name", text(repository)}, {"tag", text(tag)}};
      if (image) {
        row.emplace("digest", text(image->reference.digest->text()));
        row.emplace("size", image->total_bytes());
        row.emplace("form", text(oci::to_string(image->form)));
      } else {
        row.emplace("error", text(image.error().message()));
      }
      rows.push_back(std::move(row));
    }
  }
  if (output == Output::Json) fmt::print("{}", json::dump_pretty(rows));
  return {};
}

Status show_image(const base::Context& ctx, const oci::Reference& ref, const RegistryAccess& access,
                  Output output) {
  const auto client = TRY(make_registry_client(access));
  const oci::Image image = TRY(oci::inspect_image(ctx, *client, ref));
  json::Object document = describe_image(image);
  if (image.manifest.config.media_type == oci::media_type::kModelConfig) {
    const std::string config =
        TRY(client->get_blob(ctx, image.reference, image.manifest.config, oci::kMaxConfigBytes));
    document["config"] = TRY(base::with_context(json::parse(config), "model config"));
  }
  if (output == Output::Json) {
    fmt::print("{}", json::dump_pretty(document));
    return {};
  }
  print_image(image);
  if (document.contains("config"))
    fmt::print("config         {}\n", json::dump_pretty(document["config"]));
  return {};
}

Status remove_image(const base::Context& ctx, oci::Reference ref, const RegistryAccess& access) {
  const auto client = TRY(make_registry_client(access));
  const oci::Descriptor found = TRY(client->resolve(ctx, ref));
  if (!ref.digest) {
    const auto tags = TRY(client->list_tags(ctx, ref));
    bool shared = false;
    for (const std::string& tag : tags) {
      if (tag == ref.tag) continue;
      oci::Reference other = ref;
      other.tag = tag;
      shared = shared || TRY(client->resolve(ctx, other)).digest == found.digest;
    }
    if (!shared) ref.digest = found.digest;
  }
  TRY(client->delete_manifest(ctx, ref));
  fmt::print("removed {}\n", ref.text());
  return {};
}

Status log_in(const base::Context& ctx, const LoginOptions& options) {
  const auto file = options.access.authfiles.empty()
                        ? docker_config_file()
                        : std::filesystem::path(options.access.authfiles.front());
  if (file.empty())
    return Error(ErrorCode::Invalid, "nowhere to keep the password: set HOME or give --authfile");
  RegistryAccess anonymous = options.access;
  anonymous.authfiles.clear();
  auto registry = TRY(registry_options(anonymous));
  registry.credentials = {};
  registry.credentials.add(options.registry, {options.user, options.password, {}});
  const auto client = TRY(oci::RegistryClient::create(std::move(registry)));
  TRY(client->ping(ctx, options.registry));

  auto text = base::read_file(file);
  if (!text && text.error().code() != ErrorCode::NotFound) return text.error();
  const std::string config =
      TRY(base::with_context(with_login(text ? *text : std::string(), options), file.string()));
  std::error_code error;
  if (!file.parent_path().empty()) std::filesystem::create_directories(file.parent_path(), error);
  TRY(base::write_file_atomic(file, config, kSecretMode, base::Durability::Synced));
  fmt::print("logged in to {}; the password is in {}\n", options.registry, file.string());
  return {};
}

}  // namespace kaito
