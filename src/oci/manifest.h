#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "json/codec.h"
#include "oci/digest.h"

/// Manifests and indexes of the OCI image specification 1.1 and Docker's schema 2.
namespace oci {

using json::Presence;

namespace media_type {
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kEmpty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kModelManifest = "application/vnd.cncf.model.manifest.v1+json";
inline constexpr std::string_view kModelConfig = "application/vnd.cncf.model.config.v1+json";
inline constexpr std::string_view kModelWeightRaw = "application/vnd.cncf.model.weight.v1.raw";

bool is_manifest(std::string_view type);
bool is_index(std::string_view type);
/// Whether a layer is a tar archive, compressed or not.
bool is_tar_layer(std::string_view type);
/// Whether a layer belongs to a CNCF model artifact (or to its former name, CNAI).
bool is_model_layer(std::string_view type);
}  // namespace media_type

namespace annotation {
inline constexpr std::string_view kTitle = "org.opencontainers.image.title";
inline constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kModelFilepath = "org.cncf.model.filepath";
inline constexpr std::string_view kModelFileMetadata = "org.cncf.model.file.metadata+json";
inline constexpr std::string_view kModelUntested = "org.cncf.model.file.mediatype.untested";
inline constexpr std::string_view kCnaiFilepath = "org.cnai.model.filepath";
/// Set by `oras push DIRECTORY`: the layer is a packed folder.
inline constexpr std::string_view kOrasUnpack = "io.deis.oras.content.unpack";
}  // namespace annotation

using Annotations = std::map<std::string, std::string>;
/// The value of `key`, or "".
std::string_view find_annotation(const Annotations& annotations, std::string_view key);

struct Platform {
  std::string architecture;
  std::string os;
  std::string variant;
  friend bool operator==(const Platform&, const Platform&) = default;
};

/// What names a blob: its type, address and size.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::int64_t size = 0;
  std::vector<std::string> urls;
  std::string artifact_type;
  Annotations annotations;
  std::optional<Platform> platform;

  std::uint64_t bytes() const { return static_cast<std::uint64_t>(size); }
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

struct Manifest {
  std::int64_t schema_version = 2;
  std::string media_type;
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  Annotations annotations;

  /// By the 1.1 rules: the field, or else the config's media type.
  std::string_view effective_artifact_type() const {
    return artifact_type.empty() ? config.media_type : artifact_type;
  }
};

struct Index {
  std::int64_t schema_version = 2;
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

template <class Visitor>
void describe(Visitor& v, Platform& platform) {
  v.type("Processor and operating system an image is for.");
  v.field("architecture", platform.architecture, Presence::Required, "As Go's GOARCH.");
  v.field("os", platform.os, Presence::Required, "As Go's GOOS.");
  v.field("variant", platform.variant, Presence::Optional, "Variant of the processor.");
}

template <class Visitor>
void describe(Visitor& v, Descriptor& descriptor) {
  v.type("Type, address and size of a blob.");
  v.field("mediaType", descriptor.media_type, Presence::Required, "Media type of the blob.");
  v.field("artifactType", descriptor.artifact_type, Presence::Optional,
          "Artifact type of a manifest.");
  v.field("digest", descriptor.digest, Presence::Required, "Content address.");
  v.field("size", descriptor.size, Presence::Required, "Bytes.");
  v.field("urls", descriptor.urls, Presence::Optional, "Other places to download from.");
  v.field("annotations", descriptor.annotations, Presence::Optional, "Free-form facts.");
  v.field("platform", descriptor.platform, Presence::Optional, "What an image in an index is for.");
}

template <class Visitor>
void describe(Visitor& v, Manifest& manifest) {
  v.type("An image or artifact.");
  v.field("schemaVersion", manifest.schema_version, Presence::Required, "Always 2.");
  v.field("mediaType", manifest.media_type, Presence::Optional, "Media type of this document.");
  v.field("artifactType", manifest.artifact_type, Presence::Optional, "Type of an artifact.");
  v.field("config", manifest.config, Presence::Required, "Configuration blob.");
  v.field("layers", manifest.layers, Presence::Required, "Content, base first.");
  v.field("subject", manifest.subject, Presence::Optional, "Manifest this one is about.");
  v.field("annotations", manifest.annotations, Presence::Optional, "Free-form facts.");
}

template <class Visitor>
void describe(Visitor& v, Index& index) {
  v.type("A list of manifests.");
  v.field("schemaVersion", index.schema_version, Presence::Required, "Always 2.");
  v.field("mediaType", index.media_type, Presence::Optional, "Media type of this document.");
  v.field("artifactType", index.artifact_type, Presence::Optional, "Type of an artifact.");
  v.field("manifests", index.manifests, Presence::Required, "Manifests for platforms or purposes.");
  v.field("subject", index.subject, Presence::Optional, "Manifest this one is about.");
  v.field("annotations", index.annotations, Presence::Optional, "Free-form facts.");
}

using AnyManifest = std::variant<Manifest, Index>;

/// Decodes a manifest or index of at most kMaxManifestBytes. `content_type` is what the transport
/// said ("" when unknown: then the document's own field or shape decides); a document that calls
/// itself something else, or that is both manifest and index, is refused, since two readers could
/// take it for different things. Errors: Invalid.
base::Result<AnyManifest> decode_manifest(std::string_view bytes, std::string_view content_type);

const std::optional<Descriptor>& subject_of(const AnyManifest& manifest);
/// Manifest: config and layers that a registry holds (not those with `urls`). Index: its manifests.
std::vector<Descriptor> children_of(const AnyManifest& manifest);

/// The bytes of a manifest with what they are; the digest is that of the bytes.
struct RawManifest {
  std::string media_type;
  Digest digest;
  std::string bytes;

  Descriptor descriptor() const;
  base::Result<AnyManifest> decode() const { return decode_manifest(bytes, media_type); }
};

}  // namespace oci
