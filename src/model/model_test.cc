#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "model/catalog/catalog.h"
#include "model/estimator/estimator.h"
#include "model/gguf/gguf.h"
#include "model/sku/sku.h"

namespace model {
namespace {

using testing::HasSubstr;

TEST(Catalog, FindsByNameAliasAndIdWithoutRegardToCase) {
  ASSERT_NE(find_preset("phi-3-mini-4k-instruct"), nullptr);
  EXPECT_EQ(find_preset("Microsoft/Phi-3-Mini-4K-Instruct"), find_preset("phi-3-mini-4k-instruct"));
  EXPECT_EQ(find_preset("mistralai/mistral-7b-v0.3")->name, "mistral-7b");
  EXPECT_EQ(find_preset("nobody/knows-this"), nullptr);
}

TEST(Catalog, HoldsEveryNameOfBothReleasesOnce) {
  std::set<std::string_view> names;
  for (const Preset& preset : presets())
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
  EXPECT_EQ(names.size(), 72U);  // 60 of v0.12, 11 that only v0.3 has, and the quickstart's.
  for (const char* name :
       {"falcon-7b", "falcon-7b-instruct", "falcon-40b", "falcon-40b-instruct", "mistral-7b",
        "mistral-7b-instruct", "phi-2", "phi-3-mini-4k-instruct", "phi-3-mini-128k-instruct",
        "phi-3-medium-4k-instruct", "phi-3-medium-128k-instruct", "llama-2-7b", "llama-2-13b",
        "llama-2-70b", "llama-2-7b-chat", "llama-2-13b-chat", "llama-2-70b-chat"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(Catalog, NamesTheImage) {
  EXPECT_EQ(image_reference(*find_preset("smollm2-135m-instruct"), "127.0.0.1:5001"),
            "127.0.0.1:5001/kaito-smollm2-135m-instruct:latest");
}

TEST(Catalog, ReadsTheContextLengthOfAConfig) {
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm:\n  max-model-len: 4096\n"}}), 4096);
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm: {}\n"}}), std::nullopt);
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm: [\n"}}), std::nullopt);
}

TEST(Sku, KnowsTheSeedsMachine) {
  const auto sku = find_sku("azure", "standard_nc6s_V3");
  ASSERT_TRUE(sku);
  EXPECT_EQ(sku->gpu_count, 1);
  EXPECT_EQ(sku->gpu_memory_gib, 16);
  EXPECT_LT(sku->compute_capability, 8.0);
  EXPECT_FALSE(find_sku("aws", "Standard_NC6s_v3"));
  EXPECT_TRUE(find_sku("local", "p5.48xlarge"));
  EXPECT_TRUE(is_plausible_sku("azure", "Standard_ND999"));
  EXPECT_FALSE(is_plausible_sku("aws", "Standard_ND999"));
}

struct EstimateCase {
  const char* preset;
  const char* sku;
  std::int64_t nodes;
};

// Upstream's own table (context 2048), and the cases its documents name.
TEST(Estimator, GivesTheNodesUpstreamPublishes) {
  constexpr EstimateCase kCases[] = {
      {"phi-4", "Standard_NV36ads_A10_v5", 2},
      {"llama-3.3-70b-instruct", "Standard_NC24ads_A100_v4", 3},
      {"llama-3.3-70b-instruct", "Standard_NC48ads_A100_v4", 2},
      {"llama-3.3-70b-instruct", "Standard_NC96ads_A100_v4", 1},
      {"llama-3.3-70b-instruct", "Standard_NV36ads_A10_v5", 9},
      {"deepseek-r1-0528", "Standard_ND96isr_H100_v5", 2},
      {"deepseek-r1-0528", "Standard_ND96isr_H200_v5", 1},
      {"deepseek-r1-0528", "Standard_NV36ads_A10_v5", 39},
      {"gpt-oss-120b", "Standard_NC48ads_A100_v4", 2},
      {"qwen2.5-coder-32b-instruct", "Standard_NC24ads_A100_v4", 2},
      {"deepseek-v4-pro", "Standard_NC40ads_H100_v5", 12},
      {"phi-3-mini-4k-instruct", "Standard_NC24ads_A100_v4", 1},
  };
  for (const EstimateCase& c : kCases) {
    const Preset* preset = find_preset(c.preset);
    const auto sku = find_sku("azure", c.sku);
    ASSERT_TRUE(preset && sku) << c.preset << " " << c.sku;
    const auto nodes = estimate_nodes({preset->weights_gib, preset->kv_bytes_per_token, 2048,
                                       sku->gpu_count, sku->gpu_memory_gib});
    ASSERT_TRUE(nodes);
    EXPECT_EQ(*nodes, c.nodes) << c.preset << " on " << c.sku;
  }
}

TEST(Estimator, RefusesAGpuThatHoldsNothing) {
  EXPECT_FALSE(estimate_nodes({7, 393216, 2048, 1, 2}));
  EXPECT_FALSE(estimate_nodes({0, 1, 1, 1, 80}));
}

/// A GGUF in memory: one F32 tensor of `extent` elements and two metadata texts.
std::string tiny_gguf(std::uint64_t extent, std::uint64_t data_bytes) {
  std::string out = "GGUF";
  const auto put = [&](auto value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto put_text = [&](std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    out += text;
  };
  put(std::uint32_t{3});
  put(std::uint64_t{1});
  put(std::uint64_t{2});
  put_text("general.architecture");
  put(std::uint32_t{8});
  put_text("llama");
  put_text("llama.context_length");
  put(std::uint32_t{4});
  put(std::uint32_t{2048});
  put_text("token_embd.weight");
  put(std::uint32_t{1});
  put(extent);
  put(std::uint32_t{0});
  put(std::uint64_t{0});
  out.resize((out.size() + 31) / 32 * 32, '\0');
  out.append(data_bytes, 'x');
  return out;
}

TEST(Gguf, ReadsTheHeader) {
  const std::string file = tiny_gguf(16, 64);
  const auto info = parse_gguf(file, file.size());
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(info->architecture, "llama");
  EXPECT_EQ(info->context_tokens, 2048U);
  EXPECT_EQ(info->quantization, "F32");
  EXPECT_EQ(info->parameters, 16U);
  EXPECT_EQ(info->data_end, file.size());
}

TEST(Gguf, SaysWhenAFileIsShort) {
  const std::string file = tiny_gguf(16, 60);
  EXPECT_THAT(parse_gguf(file, file.size()).error().message(), HasSubstr("truncated"));
  for (std::size_t cut = 0; cut < file.size() - 61; cut += 3)
    EXPECT_FALSE(parse_gguf(file.substr(0, cut), cut)) << cut;
}

TEST(Gguf, RefusesWhatIsNone) {
  EXPECT_THAT(parse_gguf("PK\x03\x04", 4).error().message(), HasSubstr("not a GGUF"));
  std::string altered = tiny_gguf(16, 64);
  altered[8] = '\xFF';
  altered[14] = '\xFF';
  EXPECT_FALSE(parse_gguf(altered, altered.size()));
  EXPECT_EQ(read_gguf_info("/nonexistent.gguf").error().code(), base::ErrorCode::NotFound);
}

}  // namespace
}  // namespace model
