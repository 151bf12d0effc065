// Against numbers that transformers, PEFT and bitsandbytes computed: tests/golden/tuning/README.md.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "json/value.h"
#include "model/safetensors/safetensors.h"
#include "tuning/backend/cpu/kernel_table.h"
#include "tuning/engine/trainer.h"
#include "tuning/lora/adapter_files.h"
#include "tuning/quant/frozen_matrix.h"

namespace tuning {
namespace {

std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(KAITO_SOURCE_DIR) / "tests/golden/tuning" / name;
}

json::Value read_json(const std::filesystem::path& path) {
  return json::parse(base::read_file(path).value()).value();
}

std::vector<double> numbers(const json::Value& value) {
  std::vector<double> result;
  for (const auto& item : value.as_array()) result.push_back(item.to_number<double>());
  return result;
}

Batch batch_of(const json::Value& reference) {
  Batch batch;
  for (const auto& row : json::find(reference, "input_ids")->as_array()) {
    Sequence sequence;
    for (const auto& id : row.as_array()) {
      sequence.tokens.push_back(static_cast<TokenId>(id.as_int64()));
    }
    sequence.labels = sequence.tokens;
    batch.push_back(std::move(sequence));
  }
  return batch;
}

/// A folder whose only file is the golden's start of the adapter, under PEFT's name.
std::filesystem::path adapter_folder(std::string_view family) {
  const auto folder = std::filesystem::path(testing::TempDir()) / fmt::format("start-{}", family);
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(golden(family) / "lora_start.safetensors",
                             folder / "adapter_model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  return folder;
}

/// The model of `family`. The f32 goldens were made by a model that had been cast to bf16 and back;
/// that rounds transformers' table of rotary frequencies, too. With `rounded_rope` so does this.
base::Result<BaseModel> load(std::string_view family, WeightFormat format, bool rounded_rope) {
  const ModelOptions options{
      .linear_format = format, .double_quant = true, .dense_format = WeightFormat::F32};
  if (!rounded_rope) return BaseModel::load(base::Context(), golden(family), options);
  const auto folder = std::filesystem::path(testing::TempDir()) / fmt::format("rope-{}", family);
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(golden(family) / "model.safetensors", folder / "model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  json::Value config = read_json(golden(family) / "config.json");
  constexpr std::size_t kDimensions = 16;
  json::Array factors;
  for (std::size_t i = 0; i < kDimensions / 2; ++i) {
    const double exact =
        std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(kDimensions));
    const float rounded =
        model::float_from_bfloat16(model::bfloat16_from_float(static_cast<float>(exact)));
    factors.emplace_back(exact / static_cast<double>(rounded));
  }
  json::Object rope;
  rope["rope_theta"] = 10000.0;
  rope["rope_type"] = "longrope";
  rope["short_factor"] = factors;
  rope["long_factor"] = factors;
  rope["attention_factor"] = 1.0;
  config.as_object()["rope_parameters"] = rope;
  config.as_object()["original_max_position_embeddings"] = 128;
  std::ofstream(folder / "config.json") << json::dump(config);
  return BaseModel::load(base::Context(), folder, options);
}

struct Case {
  std::string_view family;
  WeightFormat format;
  KernelSet kernels;
};

class Golden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!supports(GetParam().kernels)) GTEST_SKIP() << "not on this processor";
  }
  /// Of bf16 products; the others are exact but for the order of sums.
  double tolerance() const { return GetParam().kernels == KernelSet::Avx512Bf16 ? 4e-3 : 2e-5; }
};

TEST_P(Golden, TwentyStepsHaveTheSameLossesAndNorms) {
  const auto& [family, format, kernels] = GetParam();
  const auto reference = read_json(golden(family) / "golden.json");
  const auto model = load(family, format, format == WeightFormat::F32);
  ASSERT_TRUE(model) << model.error().message();
  const OptimizerConfig optimizer{
      .learning_rate = 1e-3, .schedule = Schedule::Constant, .total_steps = 20};
  auto trainer = Trainer::create(*model, {.rank = 4, .alpha = 8, .target_modules = {"all-linear"}},
                                 optimizer, {.threads = 2, .kernels = kernels});
  ASSERT_TRUE(trainer) << trainer.error().message();
  const Batch batch = batch_of(reference);
  const std::string part = format == WeightFormat::F32 ? "lora" : "qlora";
  if (format == WeightFormat::F32) {
    // Before the adapter: B is zero at the start.
    const auto before = trainer->evaluate(base::Context(), {&batch, 1});
    const double loss = json::find(reference, "loss")->as_double();
    EXPECT_NEAR(before->loss, loss, tolerance() * loss);
    const auto logits = trainer->logits(base::Context(), batch[1].tokens);
    const auto expected = numbers(json::find(reference, "logits_last_position")->as_array()[1]);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR((*logits)[i], expected[i],
                  5 * tolerance() * std::max(1.0, std::fabs(expected[i])));
    }
  }
  ASSERT_TRUE(trainer->load_adapter(adapter_folder(family)));
  const auto losses = numbers(*json::find(reference, part + ".losses"));
  const auto norms = numbers(*json::find(reference, part + ".clip_norms"));
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const auto stats = trainer->step(base::Context(), {&batch, 1});
    ASSERT_TRUE(stats) << stats.error().message();
    EXPECT_NEAR(stats->loss, losses[step], tolerance() * losses[step]) << "step " << step;
    EXPECT_NEAR(stats->gradient_norm, norms[step], 10 * tolerance() * norms[step])
        << "step " << step;
  }
}

class GoldenGradients : public Golden {};

TEST_P(GoldenGradients, AreEqualForEveryMatrix) {
  const auto& [family, format, kernels] = GetParam();
  const auto reference = read_json(golden(family) / "golden.json");
  const auto model = load(family, format, format == WeightFormat::F32);
  ASSERT_TRUE(model) << model.error().message();
  auto trainer = Trainer::create(*model, {.rank = 4, .alpha = 8, .target_modules = {"all-linear"}},
                                 {}, {.threads = 1, .kernels = kernels});
  ASSERT_TRUE(trainer->load_adapter(adapter_folder(family)));
  const Batch batch = batch_of(reference);
  ASSERT_TRUE(trainer->step(base::Context(), {&batch, 1}));
  const auto& expected = json::find(reference, "lora.gradient_norms")->as_object();
  std::size_t place = 0, compared = 0;
  for (const LoraTarget& target : trainer->targets()) {
    for (const char matrix : {'A', 'B'}) {
      const std::size_t size = target.rank * (matrix == 'A' ? target.inputs : target.outputs);
      double squares = 0;
      for (const float value : trainer->gradients().subspan(place, size)) {
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      place += size;
      const auto* norm = expected.if_contains(lora_tensor_name(target.name, matrix));
      ASSERT_NE(norm, nullptr) << target.name;
      EXPECT_NEAR(std::sqrt(squares), norm->as_double(), 10 * tolerance() * norm->as_double())
          << target.name << ' ' << matrix;
      ++compared;
    }
  }
  EXPECT_EQ(compared, expected.size());
}

std::vector<Case> cases(std::initializer_list<WeightFormat> formats) {
  std::vector<Case> result;
  for (const std::string_view family : {"llama", "mistral", "qwen2", "phi3"}) {
    for (const WeightFormat format : formats) {
      for (const KernelSet kernels :
           {KernelSet::Scalar, KernelSet::Avx2, KernelSet::Avx512, KernelSet::Avx512Bf16}) {
        result.push_back({family, format, kernels});
      }
    }
  }
  return result;
}

std::string name_of_case(const testing::TestParamInfo<Case>& one) {
  return fmt::format("{}_{}_{}", one.param.family, name_of(one.param.format),
                     name_of(one.param.kernels));
}

INSTANTIATE_TEST_SUITE_P(All, Golden,
                         testing::ValuesIn(cases({WeightFormat::F32, WeightFormat::Nf4})),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(All, GoldenGradients, testing::ValuesIn(cases({WeightFormat::F32})),
                         name_of_case);

template <class T>
std::vector<T> raw(const model::Safetensors& file, std::string_view name) {
  const auto* tensor = file.find(name);
  std::vector<T> result(tensor->bytes.size() / sizeof(T));
  std::memcpy(result.data(), tensor->bytes.data(), tensor->bytes.size());
  return result;
}

TEST(Nf4Golden, BytesAndValuesAreThoseOfBitsandbytes) {
  const auto file = model::Safetensors::open(golden("nf4") / "nf4.safetensors");
  ASSERT_TRUE(file) << file.error().message();
  const auto values = file->find("matrix")->floats().value();
  EXPECT_EQ(raw<float>(*file, "code_nf4"),
            std::vector<float>(kNf4Values.begin(), kNf4Values.end()));
  EXPECT_EQ(raw<float>(*file, "code_8bit"),
            std::vector<float>(dynamic_values().begin(), dynamic_values().end()));
  const auto plain = FrozenMatrix::from_values(values, 96, 320, {WeightFormat::Nf4, false});
  const auto twice = FrozenMatrix::from_values(values, 96, 320, {WeightFormat::Nf4, true});
  const auto vector = [](auto span) { return std::vector(span.begin(), span.end()); };
  EXPECT_EQ(vector(plain.packed()), raw<std::uint8_t>(*file, "packed"));
  EXPECT_EQ(vector(plain.block_scales()), raw<float>(*file, "absmax"));
  EXPECT_EQ(vector(twice.packed()), raw<std::uint8_t>(*file, "packed"));
  EXPECT_EQ(vector(twice.scale_codes()), raw<std::uint8_t>(*file, "absmax_q8"));
  EXPECT_EQ(vector(twice.group_scales()), raw<float>(*file, "absmax2"));
  EXPECT_EQ(twice.scale_offset(), raw<float>(*file, "offset")[0]);
  std::vector<float> back(values.size());
  for (std::size_t row = 0; row < 96; ++row)
    twice.read(row, 0, std::span(back).subspan(row * 320, 320));
  EXPECT_EQ(back, raw<float>(*file, "dequant_double_f32"));
}

}  // namespace
}  // namespace tuning
