// Converted models against logits that transformers computed: tests/golden/tuning/README.md.

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/test_support.h"
#include "inference/engine/decoder.h"
#include "inference/engine/model.h"
#include "json/value.h"
#include "model/convert/convert.h"

namespace inference {
namespace {

const std::filesystem::path kGoldens = KAITO_SOURCE_DIR "/tests/golden/tuning";

/// The golden models have no tokenizer: one of `count` made-up tokens.
std::string made_up_tokenizer(std::int64_t count) {
  json::Object vocabulary;
  for (std::int64_t i = 0; i < count; ++i) vocabulary.emplace("t" + std::to_string(i), i);
  const json::Object bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return json::dump(json::Object{{"pre_tokenizer", bytes},
                                 {"model", json::Object{{"type", "BPE"},
                                                        {"vocab", std::move(vocabulary)},
                                                        {"merges", json::Array{}}}}});
}

class Golden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, Golden, testing::Values("llama", "mistral", "qwen2", "phi3"));

TEST_P(Golden, ConvertedModelsHaveTheLogitsOfTransformers) {
  const base::test::TempDir dir;
  const auto source = kGoldens / GetParam();
  std::filesystem::copy_file(source / "config.json", dir.path() / "config.json");
  std::filesystem::copy_file(source / "model.safetensors", dir.path() / "model.safetensors");
  const auto config = json::parse(*base::read_file(source / "config.json"));
  ASSERT_TRUE(base::write_file_atomic(dir.path() / "tokenizer.json",
                                      made_up_tokenizer(*json::find_int(*config, "vocab_size")),
                                      0644));
  const auto file = dir.path() / "model.gguf";
  const auto converted = model::convert_to_gguf(base::Context(), dir.path(), file, {.type = "F32"});
  ASSERT_TRUE(converted) << converted.error().message();
  const auto model = Model::load({}, {.path = file});
  ASSERT_TRUE(model) << model.error().message();
  const auto decoder = Decoder::create(
      **model,
      {.cache_tokens = 128, .sequences = 1, .batch_tokens = 128, .outputs = 1, .threads = 1});
  ASSERT_TRUE(decoder) << decoder.error().message();

  const auto golden = json::parse(*base::read_file(source / "golden.json"));
  const json::Array& rows = *json::find_array(*golden, "input_ids");
  const json::Array& wanted = *json::find_array(*golden, "logits_last_position");
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const json::Array& ids = rows[row].get_array();
    (*decoder)->truncate(0, 0);
    (*decoder)->clear_batch();
    int place = 0;
    for (std::size_t i = 0; i < ids.size(); ++i)
      place = (*decoder)->add(static_cast<TokenId>(ids[i].get_int64()), static_cast<int>(i), 0,
                              i + 1 == ids.size() ? Decoder::Logits::Yes : Decoder::Logits::No);
    ASSERT_TRUE((*decoder)->decode());
    const auto logits = (*decoder)->logits(place);
    const json::Array& expected = wanted[row].get_array();
    ASSERT_EQ(logits.size(), expected.size());
    // The cache rounds keys and values to 16 bits; a wrong order of rows moves logits by 0.3.
    for (std::size_t i = 0; i < logits.size(); ++i)
      ASSERT_NEAR(logits[i], expected[i].to_number<double>(), 0.01) << row << " " << i;
  }
}

}  // namespace
}  // namespace inference
