#pragma once

#include <array>
#include <string_view>

/// Labels, annotations and finalizers of the kaito.sh API and of what it touches.
namespace api {

inline constexpr std::string_view kWorkspaceFinalizer = "workspace.finalizer.kaito.sh";

inline constexpr std::string_view kLabelWorkspace = "kaito.sh/workspace";
inline constexpr std::string_view kLabelWorkspaceNamespace = "kaito.sh/workspacenamespace";
inline constexpr std::string_view kLabelInstanceType = "node.kubernetes.io/instance-type";
/// Nodes that the node agent of this machine runs.
inline constexpr std::string_view kLabelLocalNode = "kaito.sh/local-node";
/// Nodes whose GPUs are make-believe.
inline constexpr std::string_view kLabelSimulatedGpu = "kaito.sh/simulated-gpu";

/// Keys of `labelSelector.matchLabels` that belong to the operator; the user's are left out.
inline constexpr std::array<std::string_view, 8> kReservedSelectorKeys = {
    "kaito.sh/workspace",
    "kaito.sh/ragengine",
    "kaito.sh/workspacenamespace",
    "kaito.sh/ragenginenamespace",
    "karpenter.kaito.sh/workspace-name",
    "karpenter.kaito.sh/workspace-namespace",
    "karpenter.kaito.sh/inferenceset",
    "karpenter.kaito.sh/inferenceset-namespace"};

/// Labels of a Workspace that its pods carry too.
inline constexpr std::array<std::string_view, 3> kPropagatedLabels = {
    "inferenceset.kaito.sh/created-by", "multiroleinference.kaito.sh/created-by",
    "kaito.sh/inference-role"};

inline constexpr std::string_view kAnnotationEnableLb = "kaito.sh/enablelb";
inline constexpr std::string_view kAnnotationRuntime = "kaito.sh/runtime";
inline constexpr std::string_view kAnnotationBypassResourceChecks =
    "kaito.sh/bypass-resource-checks";
inline constexpr std::string_view kAnnotationNodeImageFamily = "kaito.sh/node-image-family";
inline constexpr std::string_view kAnnotationPerformanceMode = "kaito.sh/performance-mode";
inline constexpr std::string_view kAnnotationUseLocalWeights = "kaito.sh/use-local-weights";

}  // namespace api
