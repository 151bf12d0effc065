#include "model/convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/test_support.h"
#include "json/value.h"
#include "model/convert/model_config.h"
#include "model/convert/tokenizer.h"
#include "model/gguf/dequantise.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/quantise.h"
#include "model/safetensors/safetensors.h"

namespace model {
namespace {

using base::test::TempDir;
using testing::HasSubstr;

const base::Context kContext;

/// A GGUF model with random F32 weights of a family.
std::filesystem::path tiny_model(const TempDir& dir, const std::string& family) {
  const auto file = dir.path() / (family + ".gguf");
  const std::string command = "python3 " KAITO_SOURCE_DIR
                              "/tests/support/make_tiny_gguf.py --context 512 --family " +
                              family + " --out " + file.string();
  EXPECT_EQ(std::system(command.c_str()), 0);
  return file;
}

json::Value read_json(const std::filesystem::path& path) {
  return json::parse(base::read_file(path).value()).value();
}

void expect_equal(const GgufFile& a, const GgufFile& b, std::string_view key) {
  const auto one = a.header().metadata.find(key);
  const auto other = b.header().metadata.find(key);
  ASSERT_EQ(one != a.header().metadata.end(), other != b.header().metadata.end()) << key;
  if (one != a.header().metadata.end()) {
    EXPECT_EQ(one->second.raw, other->second.raw) << key;
  }
}

class Conversion : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, Conversion, testing::Values("llama", "phi3"));

TEST_P(Conversion, ComesBackBitForBit) {
  const TempDir dir;
  const auto file = tiny_model(dir, GetParam());
  const auto folder = dir.path() / "folder";
  const auto there = convert_to_hugging_face(kContext, file, folder, {.type = "F32"});
  ASSERT_TRUE(there) << there.error().message();
  const auto back = convert_to_gguf(kContext, folder, dir.path() / "back.gguf", {});
  ASSERT_TRUE(back) << back.error().message();
  const auto first = GgufFile::open(file);
  const auto second = GgufFile::open(dir.path() / "back.gguf");
  ASSERT_TRUE(second) << second.error().message();
  ASSERT_EQ(second->header().tensors.size(), first->header().tensors.size());
  for (const GgufTensor& tensor : first->header().tensors) {
    const GgufTensor* same = second->header().find_tensor(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape);
    const auto a = first->bytes_of(tensor);
    const auto b = second->bytes_of(*same);
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0) << tensor.name;
  }
  const std::string name(GetParam());
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.padding_token_id", "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template"})
    expect_equal(*first, *second, key);
  for (const char* key :
       {".context_length", ".embedding_length", ".block_count", ".feed_forward_length",
        ".attention.head_count", ".attention.layer_norm_rms_epsilon", ".rope.freq_base"})
    expect_equal(*first, *second, name + key);
}

TEST_P(Conversion, KeepsHalfPrecisionBothWays) {
  const TempDir dir;
  const auto file = tiny_model(dir, GetParam());
  const auto one = dir.path() / "one";
  const auto two = dir.path() / "two";
  ASSERT_TRUE(convert_to_hugging_face(kContext, file, one, {.type = "BF16"}));
  const auto middle = dir.path() / "middle.gguf";
  ASSERT_TRUE(convert_to_gguf(kContext, one, middle, {}));
  ASSERT_TRUE(convert_to_hugging_face(kContext, middle, two, {.type = "BF16"}));
  const auto read = [](const std::filesystem::path& path) {
    return base::read_file(path, 1 << 30).value();
  };
  EXPECT_EQ(read(one / "model.safetensors"), read(two / "model.safetensors"));
  EXPECT_EQ(read(one / "tokenizer.json"), read(two / "tokenizer.json"));
  EXPECT_EQ(read(one / "config.json"), read(two / "config.json"));
  const auto gguf = GgufFile::open(middle);
  EXPECT_EQ(gguf->header().find_tensor("blk.0.ffn_down.weight")->type->name, "BF16");
  EXPECT_EQ(gguf->header().find_tensor("blk.0.attn_norm.weight")->type->name, "F32");
  EXPECT_EQ(gguf->header().number("general.file_type"), 32U);
}

TEST(Conversion, UndoesTheOrderOfRotaryRows) {
  const TempDir dir;
  const auto file = tiny_model(dir, "llama");
  ASSERT_TRUE(convert_to_hugging_face(kContext, file, dir.path() / "hf", {.type = "F32"}));
  const auto gguf = GgufFile::open(file);
  const auto folder = Safetensors::open(dir.path() / "hf");
  const auto rows = folder->find("model.layers.0.self_attn.q_proj.weight")->floats().value();
  const GgufTensor& q = *gguf->header().find_tensor("blk.0.attn_q.weight");
  std::vector<float> stored(q.elements);
  std::memcpy(stored.data(), gguf->bytes_of(q).data(), q.bytes);
  // Two heads of 32 rows over 64 inputs: row 1 of a head comes from place 2, row 16 from place 1.
  EXPECT_EQ(rows[1 * 64], stored[2 * 64]);
  EXPECT_EQ(rows[16 * 64 + 5], stored[1 * 64 + 5]);
  EXPECT_EQ(rows[(32 + 17) * 64], stored[(32 + 3) * 64]);
}

TEST(Conversion, Quantises) {
  const TempDir dir;
  const auto file = tiny_model(dir, "phi3");
  ASSERT_TRUE(convert_to_hugging_face(kContext, file, dir.path() / "hf", {.type = "F32"}));
  for (const char* type : {"Q8_0", "Q4_0", "Q4_1", "F16"}) {
    const auto small = dir.path() / "small.gguf";
    const auto done = convert_to_gguf(kContext, dir.path() / "hf", small, {.type = type});
    ASSERT_TRUE(done) << done.error().message();
    const auto gguf = GgufFile::open(small);
    const GgufTensor& down = *gguf->header().find_tensor("blk.0.ffn_down.weight");
    EXPECT_EQ(down.type->name, type);
    const bool four_bits = std::string_view(type).starts_with("Q4");
    EXPECT_EQ(gguf->header().find_tensor("token_embd.weight")->type->name,
              four_bits ? "Q8_0" : type);
    std::vector<float> values(down.elements);
    ASSERT_TRUE(dequantise(*down.type, gguf->bytes_of(down), values));
    const auto exact = Safetensors::open(dir.path() / "hf")
                           ->find("model.layers.0.mlp.down_proj.weight")
                           ->floats()
                           .value();
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      error += std::abs(static_cast<double>(values[i] - exact[i]));
      size += std::abs(static_cast<double>(exact[i]));
    }
    EXPECT_LT(error / size, four_bits ? 0.12 : 0.01) << type;
  }
}

TEST(Conversion, NamesWhatIsMissingOrUnknown) {
  const TempDir dir;
  const auto file = tiny_model(dir, "llama");
  const auto folder = dir.path() / "hf";
  ASSERT_TRUE(convert_to_hugging_face(kContext, file, folder, {}));
  const auto mistake = [&](const ToGgufOptions& options = {}) {
    const auto done = convert_to_gguf(kContext, folder, dir.path() / "x.gguf", options);
    EXPECT_FALSE(std::filesystem::exists(dir.path() / "x.gguf"));
    return done ? "none" : done.error().message();
  };
  EXPECT_THAT(mistake({.type = "Q2_K"}), HasSubstr("type Q2_K cannot be written"));
  const json::Value config = read_json(folder / "config.json");
  const auto with = [&](std::string_view member, const json::Value& value) {
    json::Value changed = config;
    changed.as_object()[member] = value;
    EXPECT_TRUE(base::write_file_atomic(folder / "config.json", json::dump(changed), 0644));
    return mistake();
  };
  EXPECT_THAT(with("model_type", "mamba"), HasSubstr("model_type mamba cannot be converted"));
  EXPECT_THAT(with("num_hidden_layers", 3), HasSubstr("the tensor for blk.2.attn_q.weight"));
  EXPECT_THAT(with("intermediate_size", 64), HasSubstr("but config.json makes it 64 x 64"));
  EXPECT_THAT(with("vocab_size", 5), HasSubstr("outside of the model's vocabulary of 5"));
  EXPECT_THAT(with("rope_parameters", json::Object{{"rope_type", "yarn"}}),
              HasSubstr("type yarn cannot be converted"));
  EXPECT_THAT(with("attention_bias", true), HasSubstr("attention_bias"));
  ASSERT_TRUE(base::write_file_atomic(folder / "config.json", json::dump(config), 0644));
  const json::Value tokenizer = read_json(folder / "tokenizer.json");
  const auto tokenizer_with = [&](std::string_view member, const json::Value& value) {
    json::Value changed = tokenizer;
    changed.as_object()[member] = value;
    EXPECT_TRUE(base::write_file_atomic(folder / "tokenizer.json", json::dump(changed), 0644));
    return mistake();
  };
  EXPECT_THAT(tokenizer_with("pre_tokenizer", json::Object{{"type", "Whitespace"}}),
              HasSubstr("Whitespace has no equal in GGUF"));
  EXPECT_THAT(tokenizer_with("normalizer", json::Object{{"type", "Lowercase"}}),
              HasSubstr("Lowercase has no equal"));
  EXPECT_THAT(tokenizer_with("model", json::Object{{"type", "Unigram"}}), HasSubstr("Unigram"));
  std::filesystem::remove(folder / "tokenizer.json");
  EXPECT_THAT(mistake(), HasSubstr("tokenizer.json"));
}

TEST(ModelConfig, StretchesLlama3AsTransformersDoes) {
  const auto config = model_config_from_json(json::parse(R"({
    "model_type":"llama","vocab_size":8,"hidden_size":64,"intermediate_size":8,
    "num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":131072,
    "rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,
    "high_freq_factor":4.0,"original_max_position_embeddings":8192}})")
                                                 .value());
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->llama3_factors.size(), 32U);
  EXPECT_EQ(config->llama3_factors.front(), 1.0F) << "fast rotations stay";
  EXPECT_EQ(config->llama3_factors.back(), 8.0F) << "slow ones are stretched";
}

TEST(ModelConfig, ReadsLongrope) {
  const auto config = model_config_from_json(json::parse(R"({
    "model_type":"phi3","vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
    "num_attention_heads":2,"max_position_embeddings":131072,
    "original_max_position_embeddings":4096,"rope_scaling":{"type":"longrope",
    "short_factor":[1.0,1.5],"long_factor":[2.0,3.0]}})")
                                                 .value());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->long_factors, (std::vector<float>{2, 3}));
  EXPECT_EQ(config->original_context_tokens, 4096U);
  const auto again = model_config_from_json(to_json(*config).value());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->short_factors, config->short_factors);
}

}  // namespace
}  // namespace model
