#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "apiserver/patch/json_patch.h"
#include "apiserver/patch/managed_fields.h"
#include "apiserver/patch/merge_patch.h"
#include "apiserver/patch/server_side_apply.h"
#include "apiserver/patch/strategic_merge.h"
#include "apiserver/schema/crd.h"
#include "apiserver/schema/openapi.h"
#include "apiserver/schema/structural.h"
#include "json/value.h"

/// Input: `[target, patch, schema]`. Nothing may crash, and what is promised must hold.
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_patches(const json::Value& target, const json::Value& patch,
                   const json::Object& schema) {
  const auto patched = apiserver::apply_json_patch(target, patch);
  const json::Value merged = apiserver::apply_merge_patch(target, patch);
  require(json::equal(apiserver::apply_merge_patch(merged, patch), merged));
  const auto strategic = apiserver::apply_strategic_merge(target, patch, schema);
  require(!strategic || strategic->is_object());
}

void check_schema(const json::Value& value, const json::Object& schema) {
  (void)apiserver::check_structural(schema, "schema");
  (void)apiserver::validate(schema, value);
  json::Value changed = value;
  const auto unknown = apiserver::unknown_paths(schema, changed);
  require(apiserver::prune(schema, changed) == unknown);
  require(apiserver::prune(schema, changed).empty());
  apiserver::apply_defaults(schema, changed);
  const apiserver::OpenApiType type{
      .group = "fuzz.sh", .version = "v1", .kind = "Fuzz", .plural = "fuzzes", .schema = schema};
  (void)apiserver::openapi_v2_protobuf(apiserver::openapi_v2_document({&type, 1}));
  (void)apiserver::openapi_v3_document({&type, 1}, "fuzz.sh", "v1");
}

/// Applying the same configuration twice changes nothing the second time.
void check_apply(const json::Value& target, const json::Value& patch, const json::Object& schema) {
  if (!target.is_object() || !json::find_object(target, "metadata") || !patch.is_object() ||
      !json::find_object(patch, "metadata")) {
    return;
  }
  const apiserver::FieldManager manager{.manager = "fuzz", .api_version = "v1", .time = "t"};
  const json::Value tracked =
      apiserver::update_managed_fields(std::nullopt, target, manager, schema);
  const apiserver::ApplyOptions options{.manager = manager, .force = true};
  const auto first = apiserver::server_side_apply(tracked, patch, schema, options);
  if (!first) return;
  require(first->conflicts.empty());
  const auto second = apiserver::server_side_apply(first->object, patch, schema, options);
  require(second && apiserver::equal_but_times(first->object, second->object));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = json::parse({reinterpret_cast<const char*>(data), size});
  const json::Array* parts = input ? input->if_array() : nullptr;
  if (!parts || parts->size() < 2) return 0;
  const json::Object* given = parts->size() > 2 ? (*parts)[2].if_object() : nullptr;
  const json::Object schema = given ? *given : json::Object();
  check_patches((*parts)[0], (*parts)[1], schema);
  check_schema((*parts)[0], schema);
  check_apply((*parts)[0], (*parts)[1], schema);
  return 0;
}
