// The weights of a GGUF file become the floats that ggml's own code makes of them.
#include <ggml.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "model/gguf/dequantise.h"

namespace {

TEST(Dequantise, EqualsGgmlForEveryTypeItKnows) {
  constexpr std::int64_t kRows = 3, kColumns = 1024;
  std::mt19937 generator(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(kRows * kColumns);
  for (float& value : values) value = normal(generator);
  int compared = 0;
  for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q4_0,
                               GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0,
                               GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K}) {
    SCOPED_TRACE(ggml_type_name(type));
    const model::GgufType* known = model::find_gguf_type(static_cast<std::uint32_t>(type));
    ASSERT_NE(known, nullptr);
    ASSERT_TRUE(model::can_dequantise(*known));
    std::vector<std::byte> stored(kRows * ggml_row_size(type, kColumns));
    ggml_quantize_chunk(type, values.data(), stored.data(), 0, kRows, kColumns, nullptr);
    std::vector<float> expected(values), got(values.size());
    const auto* traits = ggml_get_type_traits(type);
    // F32 has no conversion.
    if (traits->to_float != nullptr) {
      traits->to_float(stored.data(), expected.data(), kRows * kColumns);
    }
    ASSERT_TRUE(model::dequantise(*known, stored, got));
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 1e-6F * (1 + std::abs(expected[i]))) << i;
    }
    ++compared;
    EXPECT_FALSE(model::dequantise(*known, std::span(stored).first(stored.size() - 1), got));
  }
  EXPECT_EQ(compared, 11);
}

}  // namespace
