#pragma once

#include <string>

#include "api/core/config.h"
#include "base/result.h"

namespace nodeagent {

/// Where a pod's ConfigMaps and Secrets come from. Errors: NotFound, and those of the API server.
class ConfigSource {
 public:
  virtual ~ConfigSource() = default;
  virtual base::Result<api::ConfigMap> config_map(const std::string& ns,
                                                  const std::string& name) = 0;
  virtual base::Result<api::Secret> secret(const std::string& ns, const std::string& name) = 0;
};

}  // namespace nodeagent
