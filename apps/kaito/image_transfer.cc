#include "apps/kaito/image_transfer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "apps/kaito/transfer_display.h"
#include "base/file.h"
#include "oci/content_store.h"
#include "oci/failure.h"
#include "oci/image_copy.h"
#include "oci/image_files.h"
#include "oci/image_writer.h"

namespace kaito {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr const char* kTerminationLog = "/dev/termination-log";

json::String text(std::string_view value) { return json::String(value); }

/// JSON has standard output for itself.
std::FILE* display_of(Output output) { return output == Output::Json ? stderr : stdout; }

/// Kubernetes shows this text in the pod's status. Only a file that is there already is meant for
/// us.
int explain(const Status& status, const std::string& what) {
  if (!status && status.error().code() != ErrorCode::Cancelled) {
    const base::UniqueFd file(::open(kTerminationLog, O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (file)
      (void)base::write_all(file.get(), fmt::format("{}: {}", what, status.error().message()));
  }
  return exit_with(status);
}

oci::ImageContent content_of(const std::string& kind) {
  if (kind == "adapter" || kind == "dataset") return oci::ImageContent::Data;
  if (kind == "model") return oci::ImageContent::Model;
  if (kind == "files") return oci::ImageContent::Everything;
  return oci::ImageContent::Any;
}

Status pull(const base::Context& ctx, const Session& session, const ImagePull& options) {
  const oci::Reference ref = TRY(local_reference(session, options.reference));
  const auto client = TRY(make_registry_client(options.access));
  std::optional<oci::ContentStore> store;
  oci::PullOptions pull_options;
  pull_options.content = content_of(options.kind);
  if (!options.store.empty()) {
    oci::ContentStore::Options store_options;
    store_options.root = options.store;
    store = TRY(oci::ContentStore::open(std::move(store_options)));
    pull_options.store = &*store;
  }
  const auto pulled = [&] {
    TransferDisplay display("pulling", display_of(options.output));
    return oci::pull_image(ctx, *client, ref, options.folder, pull_options, display.callback());
  }();
  if (!pulled) return pulled.error();
  if (options.output == Output::Json) {
    json::Array files;
    for (const std::string& file : pulled->files) files.push_back(text(file));
    fmt::print("{}", json::dump_pretty(
                           json::Object{{"reference", text(pulled->image.reference.text())},
                                        {"digest", text(pulled->image.reference.digest->text())},
                                        {"form", text(oci::to_string(pulled->image.form))},
                                        {"folder", text(options.folder)},
                                        {"downloadedBytes", pulled->downloaded_bytes},
                                        {"placement", text(oci::to_string(pulled->placement))},
                                        {"files", std::move(files)}}));
    return {};
  }
  fmt::print("pulled    {}: {} downloaded, {} files in {}\n", pulled->image.reference.text(),
             oci::format_bytes(pulled->downloaded_bytes), pulled->files.size(), options.folder);
  return {};
}

Result<oci::Annotations> annotations_of(const std::vector<std::string>& pairs) {
  oci::Annotations annotations;
  for (const std::string& pair : pairs) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return Error(ErrorCode::Invalid, fmt::format("--annotation {}: expected KEY=VALUE", pair));
    annotations[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return annotations;
}

Result<oci::PackedImage> pack(const base::Context& ctx, const ImagePush& options) {
  TransferDisplay display("packing", display_of(options.output));
  auto annotations = TRY(annotations_of(options.annotations));
  if (options.kind == "model" || options.kind == "files") {
    oci::PackFilesOptions files;
    files.form = options.kind == "model" ? oci::FilesForm::ModelPack : oci::FilesForm::Artifact;
    files.name = options.model_name;
    files.annotations = std::move(annotations);
    return oci::pack_files(ctx, options.folder, files, display.callback());
  }
  oci::PackFolderOptions folder;
  folder.annotations = std::move(annotations);
  folder.compression = options.compression == "none"   ? oci::Compression::None
                       : options.compression == "zstd" ? oci::Compression::Zstd
                                                       : oci::Compression::Gzip;
  if (options.kind == "adapter")
    return oci::pack_adapter(ctx, options.folder, options.model_name, std::move(folder),
                             display.callback());
  return oci::pack_folder(ctx, options.folder, folder, display.callback());
}

void print_pushed(const oci::Reference& ref, std::uint64_t bytes, Output output) {
  if (output == Output::Json) {
    fmt::print("{}", json::dump_pretty(json::Object{{"reference", text(ref.text())},
                                                      {"digest", text(ref.digest->text())},
                                                      {"size", bytes}}));
  } else {
    fmt::print("{}\n", ref.text());
  }
}

Status push(const base::Context& ctx, const Session& session, const ImagePush& options) {
  const oci::Reference ref = TRY(local_reference(session, options.reference));
  const auto client = TRY(make_registry_client(options.access));
  // Packing takes its time: what will be refused is refused before it.
  TRY(base::with_context(client->check_push(ctx, ref), fmt::format("pushing to {}", ref.text())));
  if (options.check) {
    fmt::print("{} may be pushed\n", ref.text());
    return {};
  }
  const auto packed = pack(ctx, options);
  if (!packed) return packed.error();
  const auto pushed = [&] {
    TransferDisplay display("pushing", display_of(options.output));
    return oci::push_image(ctx, *client, ref, *packed, display.callback());
  }();
  if (!pushed) return Error(pushed.error()).context(fmt::format("pushing to {}", ref.text()));
  print_pushed(ref.with_digest(pushed->digest), packed->layer_bytes(), options.output);
  return {};
}

Status copy(const base::Context& ctx, const Session& session, const ImageCopy& options) {
  const oci::Reference from = TRY(local_reference(session, options.from));
  const oci::Reference to = TRY(local_reference(session, options.to));
  const auto client = TRY(make_registry_client(options.access));
  TRY(base::with_context(client->check_push(ctx, to), fmt::format("pushing to {}", to.text())));
  std::error_code error;
  const auto scratch =
      std::filesystem::temp_directory_path(error) /
      fmt::format("kaito-copy-{}-{}", ::getuid(), oci::Digest::of(from.text()).short_hex());
  const auto copied = [&] {
    TransferDisplay display("copying", display_of(options.output));
    return oci::copy_image(ctx, *client, from, to, scratch, display.callback());
  }();
  if (!copied) return copied.error();
  std::filesystem::remove_all(scratch, error);
  print_pushed(to.with_digest(copied->digest), copied->bytes(), options.output);
  return {};
}

Status collect(const base::Context& ctx, const StoreCollect& options) {
  oci::ContentStore::Options store_options;
  store_options.root = options.store;
  const auto store = TRY(oci::ContentStore::open(std::move(store_options)));
  oci::ContentStore::CollectOptions collect_options;
  collect_options.max_bytes = options.max_bytes;
  collect_options.max_age = std::chrono::seconds(options.max_age_seconds);
  collect_options.dry_run = options.dry_run;
  const auto collected = TRY(store.collect(ctx, collect_options));
  if (options.output == Output::Json) {
    fmt::print("{}", json::dump_pretty(json::Object{{"removed", collected.removed},
                                                      {"removedBytes", collected.removed_bytes},
                                                      {"kept", collected.kept},
                                                      {"keptBytes", collected.kept_bytes},
                                                      {"dryRun", options.dry_run}}));
  } else {
    fmt::print("{} {} blobs of {}; {} of {} stay\n", options.dry_run ? "would remove" : "removed",
               collected.removed, oci::format_bytes(collected.removed_bytes), collected.kept,
               oci::format_bytes(collected.kept_bytes));
  }
  return {};
}

}  // namespace

int pull_image_files(const base::Context& ctx, const Session& session, const ImagePull& options) {
  return explain(pull(ctx, session, options), fmt::format("pulling image {}", options.reference));
}

int push_image_files(const base::Context& ctx, const Session& session, const ImagePush& options) {
  return explain(push(ctx, session, options), fmt::format("pushing image {}", options.reference));
}

int copy_registry_image(const base::Context& ctx, const Session& session,
                        const ImageCopy& options) {
  return exit_with(copy(ctx, session, options));
}

int collect_store(const base::Context& ctx, const StoreCollect& options) {
  return exit_with(collect(ctx, options));
}

}  // namespace kaito
