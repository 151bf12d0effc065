#include "model/sku/sku.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace model {
namespace {

// clang-format off
/// Current types first, then those of releases before 2026 (V100, T4, ...): the native runtime serves them.
constexpr Sku kAzure[] = {
    {"Standard_NV36ads_A10_v5", 1, 24, "NVIDIA A10", 8.6},
    {"Standard_NV72ads_A10_v5", 2, 48, "NVIDIA A10", 8.6},
    {"Standard_NC24ads_A100_v4", 1, 80, "NVIDIA A100", 8.0},
    {"Standard_NC48ads_A100_v4", 2, 160, "NVIDIA A100", 8.0},
    {"Standard_NC96ads_A100_v4", 4, 320, "NVIDIA A100", 8.0},
    {"Standard_ND96asr_A100_v4", 8, 320, "NVIDIA A100", 8.0},
    {"Standard_ND96amsr_A100_v4", 8, 640, "NVIDIA A100", 8.0},
    {"Standard_NC40ads_H100_v5", 1, 94, "NVIDIA H100", 9.0},
    {"Standard_NC80adis_H100_v5", 2, 188, "NVIDIA H100", 9.0},
    {"Standard_ND96isr_H100_v5", 8, 640, "NVIDIA H100", 9.0},
    {"Standard_NCC40ads_H100_v5", 1, 94, "NVIDIA H100", 9.0},
    {"Standard_ND96isr_H200_v5", 8, 1128, "NVIDIA H200", 9.0},
    {"Standard_NG32ads_V620_v1", 1, 32, "AMD Radeon PRO V620", 0},
    {"Standard_NG32adms_V620_v1", 1, 32, "AMD Radeon PRO V620", 0},
    {"Standard_NC6", 1, 12, "NVIDIA Tesla K80", 3.7},
    {"Standard_NC12", 2, 24, "NVIDIA Tesla K80", 3.7},
    {"Standard_NC24", 4, 48, "NVIDIA Tesla K80", 3.7},
    {"Standard_NC24r", 4, 48, "NVIDIA Tesla K80", 3.7},
    {"Standard_NV6", 1, 8, "NVIDIA Tesla M60", 5.2},
    {"Standard_NV12", 2, 16, "NVIDIA Tesla M60", 5.2},
    {"Standard_NV24", 4, 32, "NVIDIA Tesla M60", 5.2},
    {"Standard_NV12s_v3", 1, 8, "NVIDIA Tesla M60", 5.2},
    {"Standard_NV24s_v3", 2, 16, "NVIDIA Tesla M60", 5.2},
    {"Standard_NV48s_v3", 4, 32, "NVIDIA Tesla M60", 5.2},
    {"Standard_ND6s", 1, 24, "NVIDIA Tesla P40", 6.1},
    {"Standard_ND12s", 2, 48, "NVIDIA Tesla P40", 6.1},
    {"Standard_ND24s", 4, 96, "NVIDIA Tesla P40", 6.1},
    {"Standard_ND24rs", 4, 96, "NVIDIA Tesla P40", 6.1},
    {"Standard_NC6s_v2", 1, 16, "NVIDIA Tesla P100", 6.0},
    {"Standard_NC12s_v2", 2, 32, "NVIDIA Tesla P100", 6.0},
    {"Standard_NC24s_v2", 4, 64, "NVIDIA Tesla P100", 6.0},
    {"Standard_NC24rs_v2", 4, 64, "NVIDIA Tesla P100", 6.0},
    {"Standard_NC6s_v3", 1, 16, "NVIDIA Tesla V100", 7.0},
    {"Standard_NC12s_v3", 2, 32, "NVIDIA Tesla V100", 7.0},
    {"Standard_NC24s_v3", 4, 64, "NVIDIA Tesla V100", 7.0},
    {"Standard_NC24rs_v3", 4, 64, "NVIDIA Tesla V100", 7.0},
    {"Standard_ND40rs_v2", 8, 256, "NVIDIA Tesla V100", 7.0},
    {"Standard_NC4as_T4_v3", 1, 16, "NVIDIA Tesla T4", 7.5},
    {"Standard_NC8as_T4_v3", 1, 16, "NVIDIA Tesla T4", 7.5},
    {"Standard_NC16as_T4_v3", 1, 16, "NVIDIA Tesla T4", 7.5},
    {"Standard_NC64as_T4_v3", 4, 64, "NVIDIA Tesla T4", 7.5},
    {"Standard_ND96asr_v4", 8, 320, "NVIDIA A100", 8.0},
    {"Standard_NV6ads_A10_v5", 1, 4, "NVIDIA A10", 8.6},
    {"Standard_NV12ads_A10_v5", 1, 8, "NVIDIA A10", 8.6},
    {"Standard_NV18ads_A10_v5", 1, 12, "NVIDIA A10", 8.6},
    {"Standard_NV36adms_A10_v5", 1, 24, "NVIDIA A10", 8.6},
};

constexpr Sku kAws[] = {
    {"p4d.24xlarge", 8, 320, "NVIDIA A100", 8.0},
    {"p4de.24xlarge", 8, 640, "NVIDIA A100", 8.0},
    {"p5.48xlarge", 8, 640, "NVIDIA H100", 9.0},
    {"p5e.48xlarge", 8, 1128, "NVIDIA H200", 9.0},
    {"p5en.48xlarge", 8, 1128, "NVIDIA H200", 9.0},
    {"g6.xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"g6.2xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"g6.4xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"g6.8xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"g6.16xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"gr6.4xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"gr6.8xlarge", 1, 24, "NVIDIA L4", 8.9},
    {"g6.12xlarge", 4, 96, "NVIDIA L4", 8.9},
    {"g6.24xlarge", 4, 96, "NVIDIA L4", 8.9},
    {"g6.48xlarge", 8, 192, "NVIDIA L4", 8.9},
    {"g5.xlarge", 1, 24, "NVIDIA A10G", 8.6},
    {"g5.2xlarge", 1, 24, "NVIDIA A10G", 8.6},
    {"g5.4xlarge", 1, 24, "NVIDIA A10G", 8.6},
    {"g5.8xlarge", 1, 24, "NVIDIA A10G", 8.6},
    {"g5.16xlarge", 1, 24, "NVIDIA A10G", 8.6},
    {"g5.12xlarge", 4, 96, "NVIDIA A10G", 8.6},
    {"g5.24xlarge", 4, 96, "NVIDIA A10G", 8.6},
    {"g5.48xlarge", 8, 192, "NVIDIA A10G", 8.6},
    {"g4ad.xlarge", 1, 8, "AMD Radeon Pro V520", 0},
    {"g4ad.2xlarge", 1, 8, "AMD Radeon Pro V520", 0},
    {"g4ad.4xlarge", 1, 8, "AMD Radeon Pro V520", 0},
    {"g4ad.8xlarge", 2, 16, "AMD Radeon Pro V520", 0},
    {"g4ad.16xlarge", 4, 32, "AMD Radeon Pro V520", 0},
    {"trn1.2xlarge", 1, 32, "AWS Trainium accelerators", 0},
    {"trn1.32xlarge", 16, 512, "AWS Trainium accelerators", 0},
    {"trn1n.32xlarge", 16, 512, "AWS Trainium accelerators", 0},
    {"inf2.xlarge", 1, 32, "AWS Inferentia2 accelerators", 0},
    {"inf2.8xlarge", 1, 32, "AWS Inferentia2 accelerators", 0},
    {"inf2.24xlarge", 6, 192, "AWS Inferentia2 accelerators", 0},
    {"inf2.48xlarge", 12, 384, "AWS Inferentia2 accelerators", 0},
};

constexpr Sku kArc[] = {
    {"Standard_NC4_A2", 1, 16, "NVIDIA A2", 8.6},
    {"Standard_NC8_A2", 1, 16, "NVIDIA A2", 8.6},
    {"Standard_NC16_A2", 2, 32, "NVIDIA A2", 8.6},
    {"Standard_NC32_A2", 2, 32, "NVIDIA A2", 8.6},
    {"Standard_NC4_A16", 1, 16, "NVIDIA A16", 8.6},
    {"Standard_NC8_A16", 1, 16, "NVIDIA A16", 8.6},
    {"Standard_NC16_A16", 2, 32, "NVIDIA A16", 8.6},
    {"Standard_NC32_A16", 2, 32, "NVIDIA A16", 8.6},
};
// clang-format on

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<Sku> of_all_clouds() {
  std::vector<Sku> all(std::begin(kAzure), std::end(kAzure));
  all.insert(all.end(), std::begin(kAws), std::end(kAws));
  all.insert(all.end(), std::begin(kArc), std::end(kArc));
  return all;
}

}  // namespace

std::span<const Sku> skus(std::string_view cloud) {
  if (cloud == "azure") return kAzure;
  if (cloud == "aws") return kAws;
  if (cloud == "arc") return kArc;
  static const std::vector<Sku> all = of_all_clouds();
  return cloud == "local" ? std::span<const Sku>(all) : std::span<const Sku>();
}

std::optional<Sku> find_sku(std::string_view cloud, std::string_view name) {
  for (const Sku& sku : skus(cloud)) {
    if (same(sku.name, name)) return sku;
  }
  return std::nullopt;
}

bool is_plausible_sku(std::string_view cloud, std::string_view name) {
  if (cloud != "azure" && cloud != "local") return false;
  constexpr std::size_t kPrefixBytes = 10;
  return name.size() > kPrefixBytes && (same(name.substr(0, kPrefixBytes), "standard_n") ||
                                        same(name.substr(0, kPrefixBytes), "standard_d"));
}

}  // namespace model
