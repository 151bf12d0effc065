#include "model/peft/peft_adapter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/test_support.h"
#include "model/gguf/gguf_writer.h"
#include "model/peft/lora_gguf.h"
#include "model/tensor_names.h"

namespace model {
namespace {

using base::test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kConfig = R"({"peft_type":"LORA","lora_alpha":8,"r":2,"bias":"none"})";

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};

/// An adapter folder with these tensors below `base_model.model.`.
void write_adapter(const std::filesystem::path& folder, std::string_view config,
                   const std::vector<Tensor>& tensors) {
  ASSERT_TRUE(base::write_file_atomic(folder / "adapter_config.json", config, 0644));
  std::vector<TensorView> views;
  for (const Tensor& one : tensors)
    views.push_back({{"base_model.model." + one.name, DataType::F32, one.shape},
                     std::as_bytes(std::span(one.values))});
  ASSERT_TRUE(write_safetensors(folder / "adapter_model.safetensors", views));
}

std::vector<Tensor> pair_of(const std::string& module, std::uint64_t outputs, std::uint64_t rank,
                            std::uint64_t inputs, float first = 0) {
  Tensor a{module + ".lora_A.weight", {rank, inputs}, std::vector<float>(rank * inputs, 1)};
  Tensor b{module + ".lora_B.weight", {outputs, rank}, {}};
  for (std::uint64_t i = 0; i < outputs * rank; ++i)
    b.values.push_back(first + static_cast<float>(i));
  return {a, b};
}

std::string config_mistake(std::string_view json_text) {
  const auto config = parse_peft_config(json::parse(json_text).value());
  return config ? "none" : config.error().message();
}

/// A GGUF file without bytes worth reading: names and shapes only.
std::string base_model(const std::filesystem::path& path, std::string_view architecture,
                       const std::vector<Tensor>& tensors) {
  GgufWriter writer;
  const std::string name(architecture);
  writer.text("general.architecture", name);
  writer.number(name + ".attention.head_count", 2);
  writer.number(name + ".attention.head_count_kv", 1);
  for (const Tensor& one : tensors) writer.tensor(one.name, *find_gguf_type("F32"), one.shape);
  const base::UniqueFd file(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644));
  std::vector<std::byte> zeros;
  EXPECT_TRUE(writer.write(file.get(), [&](std::size_t i) {
    std::uint64_t bytes = sizeof(float);
    for (const std::uint64_t extent : tensors[i].shape) bytes *= extent;
    zeros.resize(bytes);
    return base::Result<std::span<const std::byte>>(zeros);
  }));
  return path.string();
}

TEST(PeftConfig, RefusesWhatIsMoreThanTwoMatrices) {
  EXPECT_EQ(config_mistake(kConfig), "none");
  EXPECT_EQ(config_mistake(R"({"peft_type":"LORA","lora_alpha":8,"use_dora":false,
                               "modules_to_save":null,"layer_replication":[]})"),
            "none");
  EXPECT_THAT(config_mistake("[]"), HasSubstr("object"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LOHA"})"), HasSubstr("peft_type is LOHA"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LORA"})"), HasSubstr("lora_alpha is missing"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LORA","lora_alpha":"x"})"), HasSubstr("number"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LORA","lora_alpha":8,"use_dora":true})"),
              HasSubstr("use_dora is set: DoRA"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LORA","lora_alpha":8,"bias":"all"})"),
              HasSubstr("bias is all"));
  EXPECT_THAT(
      config_mistake(R"({"peft_type":"LORA","lora_alpha":8,"modules_to_save":["lm_head"]})"),
      HasSubstr("modules_to_save"));
  EXPECT_THAT(config_mistake(R"({"peft_type":"LORA","lora_alpha":8,"alpha_pattern":{"a":-1}})"),
              HasSubstr("alpha_pattern.a is out of range"));
}

TEST(PeftAdapter, ScalesEachModuleByItsOwnAlphaAndRank) {
  const TempDir dir;
  auto tensors = pair_of("model.layers.0.self_attn.q_proj", 4, 2, 4);
  const auto more = pair_of("model.layers.1.self_attn.q_proj", 4, 4, 4);
  tensors.insert(tensors.end(), more.begin(), more.end());
  const auto scales = [&](std::string_view config) {
    write_adapter(dir.path(), config, tensors);
    const auto adapter = PeftAdapter::open(dir.path());
    EXPECT_TRUE(adapter) << adapter.error().message();
    std::vector<double> out;
    for (const LoraModule& module : adapter->modules()) out.push_back(module.scale);
    return out;
  };
  EXPECT_THAT(scales(kConfig), ElementsAre(4, 2));
  EXPECT_THAT(scales(R"({"peft_type":"LORA","lora_alpha":8,"use_rslora":true})"),
              ElementsAre(8 / std::sqrt(2.0), 4));
  EXPECT_THAT(scales(R"({"peft_type":"LORA","lora_alpha":8,
                         "alpha_pattern":{"layers.1.self_attn.q_proj":16}})"),
              ElementsAre(4, 4));
  EXPECT_THAT(scales(R"({"peft_type":"LORA","lora_alpha":8,
                         "alpha_pattern":{"^model\\.layers\\.0\\..*":2, "q_proj":4}})"),
              ElementsAre(1, 1));
  // A pattern matches from a dot on, not in the middle of a name.
  EXPECT_THAT(scales(R"({"peft_type":"LORA","lora_alpha":8,"alpha_pattern":{"proj":4}})"),
              ElementsAre(4, 2));
}

TEST(PeftAdapter, NamesWhatIsWrong) {
  const TempDir dir;
  const auto mistake = [&](std::string_view config, const std::vector<Tensor>& tensors) {
    write_adapter(dir.path(), config, tensors);
    const auto adapter = PeftAdapter::open(dir.path());
    return adapter ? "none" : adapter.error().message();
  };
  EXPECT_THAT(PeftAdapter::open(dir.path()).error().message(), HasSubstr("no adapter_config.json"));
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "adapter_config.json", kConfig, 0644));
  EXPECT_THAT(PeftAdapter::open(dir.path()).error().message(),
              HasSubstr("no adapter_model.safetensors"));
  const auto good = pair_of("model.layers.0.mlp.up_proj", 4, 2, 4);
  EXPECT_EQ(mistake(kConfig, good), "none");
  EXPECT_THAT(mistake("{", good), HasSubstr("adapter_config.json: "));
  EXPECT_THAT(mistake(kConfig, {}), HasSubstr("no tensors"));
  EXPECT_THAT(mistake(kConfig, {good[0]}), HasSubstr("up_proj has lora_A only"));
  auto odd = good;
  odd[1].shape = {2, 4};
  EXPECT_THAT(mistake(kConfig, odd), HasSubstr("lora_A is F32 [2, 4] and lora_B F32 [2, 4]"));
  odd = good;
  odd[1].name = "model.layers.0.mlp.up_proj.lora_magnitude_vector";
  EXPECT_THAT(mistake(kConfig, odd), HasSubstr("DoRA"));
  odd[1].name = "lm_head.weight";
  EXPECT_THAT(mistake(kConfig, odd), HasSubstr("replaces a part of the model"));
  odd[1].name = "model.embed_tokens.lora_embedding_B";
  EXPECT_THAT(mistake(kConfig, odd), HasSubstr("embedding"));
  EXPECT_THAT(mistake(R"({"peft_type":"LORA","lora_alpha":8,"alpha_pattern":{"(":1}})", good),
              HasSubstr("no regular expression"));
}

TEST(GgufLora, FitsAnAdapterToItsModel) {
  const TempDir dir;
  const auto module = pair_of("model.layers.0.self_attn.q_proj", 8, 1, 8);
  write_adapter(dir.path(), R"({"peft_type":"LORA","lora_alpha":2})", module);
  const auto adapter = PeftAdapter::open(dir.path());
  ASSERT_TRUE(adapter) << adapter.error().message();
  const std::vector<Tensor> base{{"blk.0.attn_q.weight", {8, 8}, {}}};
  const auto llama = GgufFile::open(base_model(dir.path() / "a.gguf", "llama", base));
  ASSERT_TRUE(llama) << llama.error().message();
  const auto lora = fit_to_model(*adapter, llama->header());
  ASSERT_TRUE(lora) << lora.error().message();
  EXPECT_EQ(lora->largest_rank, 1U);
  EXPECT_EQ(lora->bytes(), 64U);
  // Two heads of four rows; pairs (j, j + 2) become neighbours; the scale is 2.
  EXPECT_THAT(lora->matrices.at(0).b, ElementsAre(0, 4, 2, 6, 8, 12, 10, 14));

  const auto qwen = GgufFile::open(base_model(dir.path() / "b.gguf", "qwen2", base));
  const auto plain = fit_to_model(*adapter, qwen->header());
  ASSERT_TRUE(plain) << plain.error().message();
  EXPECT_THAT(plain->matrices.at(0).b, ElementsAre(0, 2, 4, 6, 8, 10, 12, 14));

  const base::UniqueFd file(::open((dir.path() / "l.gguf").c_str(), O_CREAT | O_WRONLY, 0644));
  ASSERT_TRUE(write_lora(file.get(), *lora));
  const auto written = GgufFile::open(dir.path() / "l.gguf");
  ASSERT_TRUE(written) << written.error().message();
  EXPECT_EQ(written->header().text("adapter.type"), "lora");
  const GgufTensor* b = written->header().find_tensor("blk.0.attn_q.weight.lora_b");
  ASSERT_NE(b, nullptr);
  EXPECT_THAT(b->shape, ElementsAre(8, 1));
}

TEST(GgufLora, RefusesTheAdapterOfAnotherModel) {
  const TempDir dir;
  const auto mistake = [&](const std::vector<Tensor>& tensors, std::string_view architecture,
                           const std::vector<Tensor>& base) {
    write_adapter(dir.path(),
                  R"({"peft_type":"LORA","lora_alpha":2,"base_model_name_or_path":"a/b"})",
                  tensors);
    const auto adapter = PeftAdapter::open(dir.path());
    EXPECT_TRUE(adapter) << adapter.error().message();
    const auto file = GgufFile::open(base_model(dir.path() / "m.gguf", architecture, base));
    const auto lora = fit_to_model(*adapter, file->header());
    return lora ? "none" : lora.error().message();
  };
  const std::vector<Tensor> base{{"blk.0.ffn_up.weight", {8, 4}, {}},
                                 {"blk.0.attn_q.weight", {6, 4}, {}}};
  EXPECT_EQ(mistake(pair_of("model.layers.0.mlp.up_proj", 8, 1, 4), "llama", base), "none");
  EXPECT_THAT(
      mistake(pair_of("model.layers.0.mlp.up_proj", 8, 1, 6), "llama", base),
      HasSubstr("model.layers.0.mlp.up_proj is 8 x 6 there, but 8 x 4 in the base model (it "
                "was trained on a/b)"));
  EXPECT_THAT(mistake(pair_of("model.layers.1.mlp.up_proj", 8, 1, 4), "llama", base),
              HasSubstr("(llama) has no linear layer model.layers.1.mlp.up_proj "
                        "(blk.1.ffn_up.weight)"));
  EXPECT_THAT(mistake(pair_of("transformer.h.0.attn", 8, 1, 4), "llama", base),
              HasSubstr("no linear layer transformer.h.0.attn"));
  EXPECT_THAT(mistake(pair_of("model.layers.0.mlp.up_proj", 8, 1, 4), "mamba", base),
              HasSubstr("architecture mamba"));
  EXPECT_THAT(mistake(pair_of("model.layers.0.self_attn.q_proj", 6, 1, 4), "llama", base),
              HasSubstr("6 rows, which do not fit 2 heads"));
  const float nothing = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(mistake(pair_of("model.layers.0.mlp.up_proj", 8, 1, 4, nothing), "llama", base),
              HasSubstr("not numbers"));
}

TEST(TensorNames, GoBothWays) {
  for (const char* name :
       {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
        "model.layers.12.self_attn.q_proj.bias", "model.layers.0.mlp.gate_up_proj.weight",
        "model.layers.0.post_attention_layernorm.weight"}) {
    const auto gguf = gguf_tensor_name(name);
    ASSERT_TRUE(gguf) << name;
    EXPECT_EQ(hugging_face_tensor_name(*gguf, true), name);
  }
  EXPECT_EQ(gguf_tensor_name("model.layers.3.mlp.up_proj.weight"), "blk.3.ffn_up.weight");
  EXPECT_EQ(hugging_face_tensor_name("blk.3.ffn_up.weight", false),
            "model.layers.3.mlp.up_proj.weight");
  for (const char* name : {"", "x", "model.layers.x.mlp.up_proj.weight", "model.layers.1",
                           "model.layers.1.mlp.up_proj", "model.layers..mlp.up_proj.weight"})
    EXPECT_FALSE(gguf_tensor_name(name)) << name;
}

}  // namespace
}  // namespace model
