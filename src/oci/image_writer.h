#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "oci/manifest.h"
#include "oci/progress.h"
#include "oci/reference.h"
#include "oci/registry_client.h"
#include "oci/tar_writer.h"

/// Folders as images: what tuning writes and what users bring.
namespace oci {

/// An image ready to be pushed. The same files and options give the same digest everywhere.
struct PackedImage {
  struct Layer {
    Descriptor blob;
    std::filesystem::path file;
  };
  std::vector<Layer> layers;
  std::string config;
  Descriptor config_descriptor;
  RawManifest manifest;
  base::UniqueFd scratch;  ///< The file of a packed layer; it has no name and goes with this.

  std::uint64_t layer_bytes() const;
};

struct PackFolderOptions {
  std::string image_folder = "data";  ///< Where the image has the files.
  std::vector<std::string> files;     ///< Relative to the folder; empty takes all below it.
  Annotations annotations;            ///< Of the manifest.
  Compression compression = Compression::Gzip;
  std::filesystem::path scratch;  ///< For the packed layer; empty takes the system's.
};

/// Packs a folder as a container image of one layer, as upstream's adapters and datasets are. The
/// config holds `rootfs` alone: the image belongs to no platform. Errors: Invalid (no files, a name
/// that cannot travel, something that is neither file nor folder), NotFound, `disk_full`.
base::Result<PackedImage> pack_folder(const base::Context& ctx, const std::filesystem::path& folder,
                                      const PackFolderOptions& options,
                                      const ProgressCallback& progress);

/// `pack_folder` for what `folder` holds of a PEFT adapter, with upstream's annotation. Errors:
/// also Invalid when adapter_config.json or adapter_model.safetensors is missing.
base::Result<PackedImage> pack_adapter(const base::Context& ctx,
                                       const std::filesystem::path& folder,
                                       const std::string& model_name, PackFolderOptions options,
                                       const ProgressCallback& progress);

enum class FilesForm {
  Artifact,   ///< As `oras push`: titles.
  ModelPack,  ///< A model in the form of a Hugging Face folder.
};
struct PackFilesOptions {
  FilesForm form = FilesForm::Artifact;
  std::string name;  ///< Of a model.
  Annotations annotations;
};

/// An artifact with a layer for each file below the folder, the file as it is: pulled, it is linked
/// and mapped rather than unpacked. Reads every file once. Errors: as `pack_folder`.
base::Result<PackedImage> pack_files(const base::Context& ctx, const std::filesystem::path& folder,
                                     const PackFilesOptions& options,
                                     const ProgressCallback& progress);

/// Uploads what the registry lacks, then the manifest. Progress covers all layers.
base::Result<Descriptor> push_image(const base::Context& ctx, RegistryClient& client,
                                    const Reference& ref, const PackedImage& packed,
                                    const ProgressCallback& progress);

}  // namespace oci
