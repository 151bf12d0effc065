#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/test_support.h"
#include "oci/manifest.h"

/// Helpers of the tests of this module and of those that serve its documents.
namespace oci {

using base::test::sample_bytes;
using base::test::TempDir;

inline Descriptor descriptor_for(const std::string& bytes,
                                 std::string media_type = "application/octet-stream") {
  Descriptor descriptor;
  descriptor.media_type = std::move(media_type);
  descriptor.digest = Digest::of(bytes);
  descriptor.size = static_cast<std::int64_t>(bytes.size());
  return descriptor;
}

/// Makes tar archives by hand, so that they can hold what no tool would write.
class TarBuilder {
 public:
  TarBuilder& file(const std::string& path, const std::string& content, unsigned mode = 0644) {
    header(path, '0', content.size(), mode, "");
    bytes_ += content;
    bytes_.resize((bytes_.size() + 511) / 512 * 512, '\0');
    return *this;
  }
  TarBuilder& folder(const std::string& path, unsigned mode = 0755) {
    return entry(path, '5', "", mode);
  }
  TarBuilder& symbolic_link(const std::string& path, const std::string& target) {
    return entry(path, '2', target, 0777);
  }
  TarBuilder& hard_link(const std::string& path, const std::string& target) {
    return entry(path, '1', target, 0644);
  }
  /// Any type, without content.
  TarBuilder& entry(const std::string& path, char type, const std::string& link, unsigned mode) {
    header(path, type, 0, mode, link);
    return *this;
  }
  /// A header that claims `size` bytes and gives none.
  TarBuilder& claim(const std::string& path, std::uint64_t size) {
    header(path, '0', size, 0644, "");
    return *this;
  }
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }
  const std::string& bytes() const { return bytes_; }

 private:
  void header(const std::string& path, char type, std::uint64_t size, unsigned mode,
              const std::string& link) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, const std::string& text) {
      block.replace(at, text.size(), text);
    };
    put(0, path.substr(0, 100));
    put(100, fmt::format("{:07o}", mode));
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", size));
    put(136, "00000000000");
    put(148, "        ");
    block[156] = type;
    put(157, link.substr(0, 100));
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    bytes_ += block;
  }

  std::string bytes_;
};

}  // namespace oci
