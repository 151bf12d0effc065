#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/meta.h"

/// core/v1 ConfigMap and Secret.
namespace api {

struct ConfigMap {
  static constexpr ResourceType kType{"", "v1", "configmaps", "ConfigMap", true};
  ObjectMeta metadata{};
  std::map<std::string, std::string> data{};
  std::map<std::string, std::string> binary_data{};  ///< base64, as it travels.
  std::optional<bool> immutable{};
};
template <class V>
void describe(V& v, ConfigMap& c) {
  v.type("Configuration for pods.");
  describe_root(v, c);
  v.field("data", c.data, Presence::Optional, "Texts by key.");
  v.field("binaryData", c.binary_data, Presence::Optional, "Bytes by key, in base64.");
  v.field("immutable", c.immutable, Presence::Optional, "Whether the data may change.");
}

struct Secret {
  static constexpr ResourceType kType{"", "v1", "secrets", "Secret", true};
  ObjectMeta metadata{};
  std::map<std::string, std::string> data{};  ///< base64, as it travels.
  std::map<std::string, std::string> string_data{};
  std::string type{};
  std::optional<bool> immutable{};
};
template <class V>
void describe(V& v, Secret& s) {
  v.type("Confidential data for pods.");
  describe_root(v, s);
  v.field("data", s.data, Presence::Optional, "Bytes by key, in base64.");
  v.field("stringData", s.string_data, Presence::Optional,
          "Texts by key; the server moves them to data.");
  v.field("type", s.type, Presence::Optional,
          "What it is for, such as kubernetes.io/dockerconfigjson.");
  v.field("immutable", s.immutable, Presence::Optional, "Whether the data may change.");
}

}  // namespace api
