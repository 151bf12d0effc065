#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "oci/auth.h"
#include "oci/image_files.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "oci/unpack.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_reference(std::string_view text) {
  const auto parsed = oci::Reference::parse(text);
  if (!parsed) return;
  const auto again = oci::Reference::parse(parsed->text());
  require(again.has_value() && *again == *parsed);
  require(oci::is_repository_name(parsed->repository));
}

/// Whatever a manifest says, its files stay in their folder and what was read can be written again.
void check_manifest(std::string_view text) {
  const auto decoded = oci::decode_manifest(text, "");
  if (!decoded) return;
  for (const oci::Descriptor& child : oci::children_of(*decoded))
    require(child.size >= 0 && !child.digest.empty());
  const auto* manifest = std::get_if<oci::Manifest>(&*decoded);
  if (!manifest) return;
  require(
      oci::decode_manifest(json::dump(json::encode(*manifest)), manifest->media_type).has_value());
  const auto image = oci::classify_image(*manifest);
  if (!image) return;
  for (const oci::ImageFile& file : image->files) {
    require(!file.path.empty() && file.path.front() != '/');
    require(("/" + file.path + "/").find("/../") == std::string::npos);
  }
}

/// Whatever an archive says, nothing appears beside the folder, and no link in it leads out.
void check_unpack(std::string_view bytes, bool chosen) {
  static const std::filesystem::path work =
      std::filesystem::temp_directory_path() / ("kaito-fuzz-" + std::to_string(::getpid()));
  const auto root = work / "in" / "root";
  std::filesystem::remove_all(work);
  std::filesystem::create_directories(root);
  const auto layer = work / "layer";
  std::ofstream(layer, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  oci::UnpackOptions options;
  options.max_bytes = 1 << 20;
  options.max_entries = 1000;
  if (chosen) options.folders = {"data", "w/*/x"};
  const auto unpacked =
      oci::unpack_layers(base::Context(), {{layer, "a"}, {layer, "b"}}, root, options, {});
  const auto entries = [](const std::filesystem::path& folder) {
    return std::distance(std::filesystem::directory_iterator(folder), {});
  };
  require(entries(work) == 2 && entries(work / "in") == 1);
  if (!unpacked) return;
  const std::string inside = std::filesystem::canonical(unpacked->folder).string();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(unpacked->folder)) {
    require((entry.symlink_status().permissions() & std::filesystem::perms::set_uid) ==
                std::filesystem::perms::none ||
            entry.is_symlink());
    std::error_code error;
    const auto target = std::filesystem::canonical(entry.path(), error);
    if (!error) require(target.string().starts_with(inside));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The first byte chooses the parser, so that one corpus serves all.
  switch (data[0]) {
    case 'r':
      check_reference(input);
      break;
    case 'm':
      check_manifest(input);
      break;
    case 'c':
      if (const auto config = oci::DockerConfig::parse(input)) (void)config->find("h", "r");
      break;
    case 't':
      check_unpack(input, false);
      break;
    case 'd':
      check_unpack(input, true);
      break;
    case 'w':
      (void)oci::parse_challenges(input);
      break;
    default:
      break;
  }
  return 0;
}
