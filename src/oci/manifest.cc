#include "oci/manifest.h"

#include <fmt/format.h>

#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace media_type {

bool is_manifest(std::string_view type) { return type == kOciManifest || type == kDockerManifest; }
bool is_index(std::string_view type) { return type == kOciIndex || type == kDockerList; }

bool is_tar_layer(std::string_view type) {
  return type.ends_with(".tar") || type.contains(".tar+") || type.ends_with(".tar.gzip");
}

bool is_model_layer(std::string_view type) {
  return type.starts_with("application/vnd.cncf.model.") ||
         type.starts_with("application/vnd.cnai.model.");
}

}  // namespace media_type

std::string_view find_annotation(const Annotations& annotations, std::string_view key) {
  const auto found = annotations.find(std::string(key));
  return found == annotations.end() ? std::string_view() : std::string_view(found->second);
}

namespace {

Status check_descriptor(const Descriptor& descriptor, std::string_view where) {
  if (descriptor.digest.empty())
    return Error(ErrorCode::Invalid, fmt::format("manifest: {}.digest is missing", where));
  if (descriptor.size < 0)
    return Error(ErrorCode::Invalid, fmt::format("manifest: {}.size is negative", where));
  return {};
}

Status check_list(const std::vector<Descriptor>& list, std::string_view where) {
  if (list.size() > kMaxDescriptors) {
    return Error(ErrorCode::Invalid, fmt::format("manifest: {} has {} entries, more than {}", where,
                                                 list.size(), kMaxDescriptors));
  }
  for (std::size_t i = 0; i < list.size(); ++i)
    TRY(check_descriptor(list[i], fmt::format("{}[{}]", where, i)));
  return {};
}

/// What the document is: its own `mediaType`, which must agree with the transport's, or its shape.
base::Result<std::string> type_of(const json::Object& document, std::string_view content_type) {
  std::string own;
  if (const json::Value* field = document.if_contains("mediaType"); field && field->is_string()) {
    own = json::to_string(field->get_string());
  }
  const bool told = media_type::is_manifest(content_type) || media_type::is_index(content_type);
  if (!own.empty() && told && own != content_type) {
    return Error(ErrorCode::Invalid, fmt::format("manifest: mediaType is {}, but it was sent as {}",
                                                 own, content_type));
  }
  if (!own.empty()) return own;
  if (told) return std::string(content_type);
  return std::string(document.contains("manifests") ? media_type::kOciIndex
                                                    : media_type::kOciManifest);
}

}  // namespace

base::Result<AnyManifest> decode_manifest(std::string_view bytes, std::string_view content_type) {
  const json::Value value = TRY(base::with_context(
      json::parse(bytes, {.max_depth = 32, .max_bytes = kMaxManifestBytes}), "manifest"));
  const json::Object* document = value.if_object();
  if (!document) return Error(ErrorCode::Invalid, "manifest: expected an object");
  if (json::find_int(value, "schemaVersion") != 2) {
    return Error(
        ErrorCode::Invalid,
        "manifest: schemaVersion must be 2 (older images must be pushed again by a current tool)");
  }
  if (document->contains("manifests") &&
      (document->contains("layers") || document->contains("config"))) {
    return Error(ErrorCode::Invalid, "manifest: both manifests and layers are given");
  }
  const std::string type = TRY(type_of(*document, content_type));
  if (media_type::is_index(type)) {
    if (!document->contains("manifests"))
      return Error(ErrorCode::Invalid, "manifest: an index without manifests");
    Index index = TRY(base::with_context(json::decode<Index>(value), "manifest"));
    index.media_type = type;
    TRY(check_list(index.manifests, "manifests"));
    if (index.subject) TRY(check_descriptor(*index.subject, "subject"));
    return AnyManifest(std::move(index));
  }
  if (!media_type::is_manifest(type))
    return Error(ErrorCode::Invalid,
                 fmt::format("manifest: media type \"{}\" is not supported", type));
  if (!document->contains("layers"))
    return Error(ErrorCode::Invalid, "manifest: layers is missing");
  Manifest manifest = TRY(base::with_context(json::decode<Manifest>(value), "manifest"));
  manifest.media_type = type;
  TRY(check_descriptor(manifest.config, "config"));
  TRY(check_list(manifest.layers, "layers"));
  if (manifest.subject) TRY(check_descriptor(*manifest.subject, "subject"));
  return AnyManifest(std::move(manifest));
}

const std::optional<Descriptor>& subject_of(const AnyManifest& manifest) {
  return std::visit([](const auto& m) -> const std::optional<Descriptor>& { return m.subject; },
                    manifest);
}

std::vector<Descriptor> children_of(const AnyManifest& manifest) {
  if (const auto* index = std::get_if<Index>(&manifest)) return index->manifests;
  const auto& image = std::get<Manifest>(manifest);
  std::vector<Descriptor> children{image.config};
  for (const Descriptor& layer : image.layers) {
    if (layer.urls.empty()) children.push_back(layer);
  }
  return children;
}

Descriptor RawManifest::descriptor() const {
  Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = digest;
  descriptor.size = static_cast<std::int64_t>(bytes.size());
  return descriptor;
}

}  // namespace oci
