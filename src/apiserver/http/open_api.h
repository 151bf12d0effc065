#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "apiserver/resources/registry.h"
#include "base/guarded.h"

namespace apiserver {

struct OpenApiDocument {
  std::string content_type;
  std::string body;
};

/// Serves `/openapi/v2` (JSON, or the protobuf that older kubectl insists on), `/openapi/v3` and
/// `/openapi/v3/<group version>`. Keeps what it made until the catalogue changes. Safe to use from
/// many threads.
class OpenApiPages {
 public:
  /// Nothing for other paths.
  std::optional<OpenApiDocument> get(const CatalogRef& catalog, std::string_view path,
                                     std::string_view accept) const;

 private:
  struct Cache {
    CatalogRef catalog;
    std::map<std::string, OpenApiDocument> documents;
  };
  mutable base::Guarded<Cache> cache_;
};

}  // namespace apiserver
