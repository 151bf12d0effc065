#include "apiserver/patch/merge_patch.h"

#include <utility>

namespace apiserver {

json::Value apply_merge_patch(json::Value target, const json::Value& patch) {
  const json::Object* changes = patch.if_object();
  if (!changes) return patch;
  if (!target.is_object()) target = json::Object();
  json::Object& object = target.get_object();
  for (const auto& change : *changes) {
    if (change.value().is_null()) {
      object.stable_erase(change.key());
      continue;
    }
    json::Value& slot = object[change.key()];
    slot = apply_merge_patch(std::move(slot), change.value());
  }
  return target;
}

}  // namespace apiserver
