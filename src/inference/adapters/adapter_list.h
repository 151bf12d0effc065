#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace inference {

/// An adapter that somebody wants: from an image or from a folder.
struct AdapterEntry {
  std::string name;
  double strength = 1;
  std::string image;
  std::filesystem::path path;

  /// The image's or the folder's name.
  std::string source() const { return image.empty() ? path.string() : image; }
};

/// The adapters there should be.
struct AdapterList {
  std::string revision;  ///< Of whoever wrote the list; handed back as it is.
  std::vector<AdapterEntry> adapters;
};

/// Reads the adapters file (YAML or JSON; README.md of this module has its format). Errors: Invalid
/// naming every mistake and its line.
base::Result<AdapterList> parse_adapter_list(std::string_view text);

/// `NAME=FOLDER[:STRENGTH]`, as on the command line. Errors: Invalid.
base::Result<AdapterEntry> parse_adapter_flag(std::string_view text);

/// The strength that `text` means. Errors: Invalid unless it is a number from 0 to 1.
base::Result<double> parse_strength(std::string_view text);

/// At most ten, each name once and a DNS-1123 subdomain. Errors: Invalid.
base::Status check_adapters(const std::vector<AdapterEntry>& adapters);

}  // namespace inference
