#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "oci/auth.h"
#include "oci/image_files.h"
#include "oci/manifest.h"
#include "oci/reference.h"

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
    case 'w':
      (void)oci::parse_challenges(input);
      break;
    default:
      break;
  }
  return 0;
}
