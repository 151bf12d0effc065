#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "oci/content_store.h"
#include "oci/image_files.h"
#include "oci/manifest.h"
#include "oci/progress.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

/// A model travels as an OCI artifact in CNCF ModelPack form: one uncompressed layer per file.
namespace oci {

/// What the artifact's config says of the model; empty members are left out.
struct ModelPackOptions {
  std::string name;    ///< `smollm2-135m-instruct`
  std::string title;   ///< `SmolLM2 135M Instruct`
  std::string family;  ///< `llama`
  std::string architecture = "transformer";
  std::string format = "gguf";
  std::string param_size;    ///< `135m`
  std::string quantization;  ///< `q4_1`
  std::string file_name;     ///< Name in the artifact; empty takes the file's own.
};

/// An artifact ready to be pushed; its weights stay in `file`. The same file and options give the
/// same digest, whenever and wherever packed.
struct PackedModel {
  std::filesystem::path file;
  Descriptor weights;
  std::string config;
  Descriptor config_descriptor;
  RawManifest manifest;
};

/// Reads `file` once for its digest. Errors: NotFound, Forbidden, Invalid (not a plain file, or a
/// name that cannot travel), Cancelled.
base::Result<PackedModel> pack_model(const base::Context& ctx, const std::filesystem::path& file,
                                     const ModelPackOptions& options,
                                     const ProgressCallback& progress);

/// Uploads what the registry lacks, then the manifest. Errors: as RegistryClient.
base::Result<Descriptor> push_model(const base::Context& ctx, RegistryClient& client,
                                    const Reference& ref, const PackedModel& packed,
                                    const ProgressCallback& progress);

/// `6.7b`, `135m`: the parameter count as ModelPack writes it.
std::string format_param_size(std::uint64_t parameters);

struct PulledModel : PulledImage {
  std::string weights;  ///< Relative path of the first (or only) GGUF file, "" when there is none.
};

inline constexpr std::string_view kModelFileName = "model.json";

/// `pull_image` for a model: what the node's store lacks is downloaded and the files are placed by
/// the cheapest way that works, so that a node has one copy of those that travel as they are. Last
/// of all comes `model.json` with reference, digest and files, so that a folder with it is
/// complete. Progress covers all files.
base::Result<PulledModel> pull_model(const base::Context& ctx, RegistryClient& client,
                                     const Reference& ref, ContentStore& store,
                                     const std::filesystem::path& destination,
                                     const ProgressCallback& progress);

}  // namespace oci
