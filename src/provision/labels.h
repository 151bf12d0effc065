#pragma once

#include <string_view>

/// Names that Karpenter's contract and this provisioner give to things.
namespace provision {

/// On claims and on their nodes: nothing goes before its machine is gone.
inline constexpr std::string_view kTerminationFinalizer = "karpenter.sh/termination";
inline constexpr std::string_view kLabelRegistered = "karpenter.sh/registered";
inline constexpr std::string_view kLabelInitialized = "karpenter.sh/initialized";
/// On a Node whose machine shall not get the claim's taints again.
inline constexpr std::string_view kLabelDoNotSyncTaints = "karpenter.sh/do-not-sync-taints";
/// On a Node: the claim it was made for.
inline constexpr std::string_view kLabelClaim = "kaito.sh/node-claim";
/// On a Node that is being emptied.
inline constexpr std::string_view kDisruptedTaint = "karpenter.sh/disrupted";
/// On a Node whose machine came up before it was registered.
inline constexpr std::string_view kUnregisteredTaint = "karpenter.sh/unregistered";

}  // namespace provision
