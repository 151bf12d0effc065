#pragma once

#include "json/codec.h"

namespace api {

/// Fields of the Kubernetes API that are part of a type's schema and that nothing here reads: one
/// member stands for all of them. Decoding passes over them and encoding leaves them out.
struct Unread {
  static base::Result<Unread> from_json(const json::Value&) { return Unread{}; }
  json::Value to_json() const { return nullptr; }
  static json::Object json_schema() {
    return json::Object{{"x-kubernetes-preserve-unknown-fields", true}};
  }
  friend bool is_empty(const Unread&) { return true; }
};

}  // namespace api
