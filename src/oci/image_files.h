#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "oci/content_store.h"
#include "oci/manifest.h"
#include "oci/progress.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

/// Images of every kind as the files they carry: what a pod wants of an image is a folder.
namespace oci {

enum class ImageForm {
  ModelPack,  ///< CNCF ModelPack: layers that name a file, raw or in tar.
  Artifact,   ///< As `oras push` writes: layers with a title.
  Container,  ///< A container image: layers of a file system, the payload in one of its folders.
};
std::string_view to_string(ImageForm form);

struct ImageFile {
  std::string path;  ///< Relative to the destination, `/` between components.
  Descriptor blob;
};

/// A manifest that was understood.
struct Image {
  Reference reference;  ///< With the digest of the manifest.
  Manifest manifest;
  ImageForm form = ImageForm::Container;
  std::vector<ImageFile> files;      ///< Layers that are a file as it is.
  std::vector<Descriptor> archives;  ///< Layers of tar, lowest first.
  std::uint64_t total_bytes() const;
};

/// What the layers of a manifest are; `reference` is left empty. Errors: Invalid for file names
/// that are absolute, leave the folder or clash, for layers kept outside the registry (`urls`) and
/// for images without content.
base::Result<Image> classify_image(Manifest manifest);

/// The manifest of `ref`; of an index the entry for this kind of machine. Errors: Invalid as
/// `classify_image` and for indexes nested too deeply; as RegistryClient.
base::Result<Image> inspect_image(const base::Context& ctx, RegistryClient& client,
                                  const Reference& ref);

/// The costs of getting a file into a folder, cheapest first.
enum class Placement { HardLink, Reflink, SymbolicLink, Copy };
std::string_view to_string(Placement placement);

/// Which folder of a container image is wanted; artifacts have no choice to make.
enum class ImageContent {
  Any,         ///< Data, or else a model's weights.
  Data,        ///< `/data`: adapters and datasets.
  Model,       ///< `/workspace/tfs/weights`, `/workspace/llama/NAME/weights`, `/workspace/weights`.
  Everything,  ///< The whole file system.
};

struct PullOptions {
  ImageContent content = ImageContent::Any;
  /// The node's store; null downloads into the destination itself, which is right where nothing
  /// else will want the image.
  ContentStore* store = nullptr;
  /// Written last of all; a folder with it is complete. One that is there goes first.
  std::string marker = ".kaito-image.json";
};

struct PulledImage {
  Image image;
  std::uint64_t downloaded_bytes = 0;         ///< 0 when the node had everything.
  Placement placement = Placement::HardLink;  ///< The costliest that was needed.
  std::vector<std::string> files;             ///< Landed, relative, sorted.
};

/// Lands the files of an image in `destination`, which may exist and be a mount: layers of files
/// are linked from the store, layers of tar are unpacked aside and moved in. Names that are there
/// already are replaced; others stay. Killed at any moment it leaves a folder without marker, and
/// the same call goes on where it stopped. Two calls for one destination at a time: the second
/// waits. Errors: as `inspect_image`, `unpack_layers` and ContentStore.
base::Result<PulledImage> pull_image(const base::Context& ctx, RegistryClient& client,
                                     const Reference& ref, const std::filesystem::path& destination,
                                     const PullOptions& options, const ProgressCallback& progress);
/// The same for an image that was inspected.
base::Result<PulledImage> pull_image(const base::Context& ctx, RegistryClient& client, Image image,
                                     const std::filesystem::path& destination,
                                     const PullOptions& options, const ProgressCallback& progress);

}  // namespace oci
