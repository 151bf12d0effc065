#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "oci/manifest.h"
#include "oci/registry_client.h"
#include "oci/registry_transport.h"

namespace oci {

/// The download of one blob from one place: large ones by several ranged requests at a time, so
/// that neither one connection nor the hashing of what arrived is waited for alone. Internal.
class BlobDownload {
 public:
  BlobDownload(RegistryTransport& transport, const Reference& ref, const Descriptor& blob,
               std::string url)
      : transport_(transport), ref_(ref), blob_(blob), url_(std::move(url)) {}

  /// Hands over the bytes from `position` on, each once and in order, and moves `position` along,
  /// also when it fails. `refused` tells that the failure is one of `take`.
  base::Status run(const base::Context& ctx, std::uint64_t& position,
                   const RegistryClient::Take& take, bool& refused);

 private:
  struct Part {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  base::Status repeatedly(const base::Context& ctx, Part part, std::uint64_t& position,
                          const RegistryClient::Take& take, bool& refused);
  base::Status once(const base::Context& ctx, Part part, std::uint64_t& position,
                    const RegistryClient::Take& take, bool& refused);
  /// The part's bytes in the memory of `buffer`.
  base::Result<std::string> fetch_part(const base::Context& ctx, Part part, std::string buffer);
  base::Status in_parts(const base::Context& ctx, std::uint64_t& position,
                        const RegistryClient::Take& take, bool& refused);

  RegistryTransport& transport_;
  const Reference& ref_;
  const Descriptor& blob_;
  const std::string url_;
};

}  // namespace oci
