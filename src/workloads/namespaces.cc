#include "workloads/namespaces.h"

#include "json/value.h"

namespace workloads {
namespace {

using base::ErrorCode;
constexpr auto kRetry = std::chrono::seconds(1);

}  // namespace

base::Result<kube::Requeue> NamespaceController::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  const auto ns = deps_.namespaces.get(key);
  if (!ns || !ns->metadata.deleting() || ns->spec.finalizers.empty()) return kube::Requeue::none();
  std::size_t left = 0;
  for (const api::ResourceType& type : deps_.types) {
    kube::ListOptions options;
    options.ns = key.name;
    const auto listed = deps_.client.list(ctx, type, options);
    if (!listed && listed.error().code() == ErrorCode::NotFound) continue;
    if (!listed) return listed.error();
    left += listed->items.size();
    for (const json::Value& item : listed->items) {
      if (!json::find_string(item, "metadata.deletionTimestamp").empty()) continue;
      const auto removed = deps_.client.remove(ctx, type, {key.name, std::string(json::find_string(item, "metadata.name"))}, {.propagation = kube::Propagation::Background, .grace_period_seconds = {}, .uid = {}, .resource_version = {}});
      if (!removed && removed.error().code() != ErrorCode::NotFound) return removed.error();
    }
  }
  if (left > 0) return kube::Requeue::after(kRetry);  // Finalizers and grace periods take their time.
  json::Value live = TRY(deps_.client.get(ctx, api::Namespace::kType, key));
  live.as_object()["spec"] = json::Object{};
  kube::WriteOptions options;
  options.subresource = "finalize";
  auto done = deps_.client.update(ctx, api::Namespace::kType, key, live, options);
  if (!done && done.error().code() != ErrorCode::NotFound) return std::move(done).error();
  return kube::Requeue::none();
}

}  // namespace workloads
