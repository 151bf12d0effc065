#include "workloads/pod_gc.h"

namespace workloads {

using base::ErrorCode;

base::Result<kube::Requeue> PodGarbage::reconcile(const base::Context& ctx,
                                                  const api::ObjectKey& key) {
  const auto pod = deps_.pods.get(key);
  if (!pod || pod->spec.node_name.empty() || deps_.nodes.get({"", pod->spec.node_name}))
    return kube::Requeue::none();
  // Not in the cache does not mean gone: the server decides.
  const auto node = deps_.client.get(ctx, api::Node::kType, {"", pod->spec.node_name});
  if (node) return kube::Requeue::none();
  if (node.error().code() != ErrorCode::NotFound) return node.error();
  kube::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = pod->metadata.uid;
  const base::Status removed = deps_.client.remove(ctx, api::Pod::kType, key, options);
  if (!removed && removed.error().code() != ErrorCode::NotFound &&
      removed.error().code() != ErrorCode::Conflict)
    return removed.error();
  return kube::Requeue::none();
}

}  // namespace workloads
