#pragma once

#include <string_view>

/// Names that Karpenter's contract and this provisioner give to things.
namespace provision {

inline constexpr std::string_view kTerminationFinalizer = "karpenter.sh/termination";
inline constexpr std::string_view kLabelRegistered = "karpenter.sh/registered";
inline constexpr std::string_view kLabelInitialized = "karpenter.sh/initialized";
/// On a Node: the claim it was made for.
inline constexpr std::string_view kLabelClaim = "kaito.sh/node-claim";
inline constexpr std::string_view kDisruptedTaint = "karpenter.sh/disrupted";

}  // namespace provision
