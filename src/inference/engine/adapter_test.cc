#include "inference/engine/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/file.h"
#include "base/test_support.h"
#include "inference/adapters/adapter_choices.h"
#include "inference/adapters/engine_loader.h"
#include "inference/test_support.h"
#include "model/gguf/gguf_file.h"
#include "model/peft/peft_adapter.h"
#include "model/safetensors/safetensors.h"
#include "model/tensor_names.h"

namespace inference {
namespace {

using base::test::TempDir;

constexpr double kAlpha = 8;
constexpr std::uint64_t kRank = 4;

struct Matrix {
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::vector<float> values;
};

Matrix random_matrix(std::uint64_t rows, std::uint64_t columns, std::uint32_t& seed) {
  Matrix matrix{rows, columns, {}};
  for (std::uint64_t i = 0; i < rows * columns; ++i) {
    seed = seed * 1664525U + 1013904223U;
    matrix.values.push_back((static_cast<float>(seed >> 8) / 0x1p23F - 1) * 0.2F);
  }
  return matrix;
}

/// An adapter for every linear layer of a model, as PEFT would write it.
struct TestAdapter {
  TestAdapter(const std::string& model_file, std::uint32_t seed) {
    const auto file = model::GgufFile::open(model_file);
    const bool fused = file->header().text("general.architecture") == "phi3";
    for (const auto& tensor : file->header().tensors) {
      if (!tensor.name.starts_with("blk.") || tensor.shape.size() != 2) continue;
      std::string module = model::hugging_face_tensor_name(tensor.name, fused).value();
      module.resize(module.size() - std::strlen(".weight"));
      pairs[module] = {random_matrix(kRank, tensor.shape[1], seed),
                       random_matrix(tensor.shape[0], kRank, seed)};
    }
    std::vector<model::TensorView> views;
    for (const auto& [module, pair] : pairs) {
      const auto add = [&](const char* side, const Matrix& matrix) {
        views.push_back({{"base_model.model." + module + side,
                          model::DataType::F32,
                          {matrix.rows, matrix.columns}},
                         std::as_bytes(std::span(matrix.values))});
      };
      add(".lora_A.weight", pair.first);
      add(".lora_B.weight", pair.second);
    }
    EXPECT_TRUE(model::write_safetensors(dir.path() / "adapter_model.safetensors", views));
    EXPECT_TRUE(base::write_file_atomic(dir.path() / "adapter_config.json",
                                        R"({"peft_type":"LORA","lora_alpha":8,"r":4})", 0644));
  }
  std::map<std::string, std::pair<Matrix, Matrix>> pairs;
  TempDir dir;
};

/// The place in a llama GGUF file of a row of q or k, written down from the converter's
/// `reshape(heads, 2, half, ...).swapaxes(1, 2)` and not by the code under test.
std::uint64_t place_of_row(std::uint64_t row, std::uint64_t head_rows) {
  const std::uint64_t head = row / head_rows;
  const std::uint64_t side = row % head_rows / (head_rows / 2);
  const std::uint64_t pair = row % (head_rows / 2);
  return head * head_rows + pair * 2 + side;
}

/// Adds strength * alpha / rank * B A to the weights of a model file with F32 weights.
void merge(const std::string& file, const TestAdapter& adapter, double strength) {
  const auto model = model::GgufFile::open(file);
  const auto& header = model->header();
  const std::string architecture(header.text("general.architecture"));
  const auto heads = *header.number(architecture + ".attention.head_count");
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  for (const auto& [module, pair] : adapter.pairs) {
    const auto& [a, b] = pair;
    const std::string name = model::gguf_tensor_name(module + ".weight").value();
    const auto& tensor = *header.find_tensor(name);
    std::vector<float> weights(tensor.elements);
    std::memcpy(weights.data(), model->bytes_of(tensor).data(), tensor.bytes);
    const bool rotary = architecture == "llama" &&
                        (name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight"));
    for (std::uint64_t row = 0; row < b.rows; ++row) {
      const std::uint64_t place = rotary ? place_of_row(row, b.rows / heads) : row;
      for (std::uint64_t column = 0; column < a.columns; ++column) {
        double sum = 0;
        for (std::uint64_t r = 0; r < kRank; ++r)
          sum += static_cast<double>(b.values[row * kRank + r]) *
                 static_cast<double>(a.values[r * a.columns + column]);
        weights[place * a.columns + column] +=
            static_cast<float>(strength * kAlpha / static_cast<double>(kRank) * sum);
      }
    }
    out.seekp(static_cast<std::streamoff>(tensor.begin));
    out.write(reinterpret_cast<const char*>(weights.data()),
              static_cast<std::streamsize>(tensor.bytes));
  }
}

/// The logits after the last of some tokens.
std::vector<float> logits_of(Decoder& decoder) {
  decoder.truncate(0, 0);
  decoder.clear_batch();
  int place = 0;
  for (int i = 0; i < 12; ++i)
    place = decoder.add(270 + 7 * i, i, 0, i == 11 ? Decoder::Logits::Yes : Decoder::Logits::No);
  EXPECT_TRUE(decoder.decode());
  const auto logits = decoder.logits(place);
  return {logits.begin(), logits.end()};
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

std::unique_ptr<Decoder> decoder_of(const Model& model) {
  return *Decoder::create(
      model, {.cache_tokens = 64, .sequences = 1, .batch_tokens = 64, .outputs = 1, .threads = 1});
}

std::shared_ptr<const Adapter> load_adapter(Decoder& decoder, const std::string& model_file,
                                            const TestAdapter& adapter) {
  const auto base = model::GgufFile::open(model_file);
  const auto peft = model::PeftAdapter::open(adapter.dir.path());
  EXPECT_TRUE(peft) << peft.error().message();
  const auto lora = model::fit_to_model(*peft, base->header());
  EXPECT_TRUE(lora) << lora.error().message();
  const auto file = AdapterFile::create(*lora);
  EXPECT_TRUE(file) << file.error().message();
  const auto loaded = decoder.load_adapter(*file);
  EXPECT_TRUE(loaded) << loaded.error().message();
  return *loaded;
}

AdapterSetPointer set_of(std::uint64_t id, std::vector<AdapterSet::Member> members) {
  return std::make_shared<const AdapterSet>(AdapterSet{id, std::move(members)});
}

class AdaptersOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, AdaptersOf, testing::Values("llama", "phi3"));

/// Of logits up to 22, which a wrong order of rows moves by 5 and more: the cache rounds keys and
/// values to 16 bits, and differences of single precision tip some of them over.
constexpr float kTolerance = 0.01F;

TEST_P(AdaptersOf, GiveTheLogitsOfTheMergedModel) {
  const std::string base_file = TinyModels::file(GetParam());
  const auto base = *load(base_file);
  const auto decoder = decoder_of(*base);
  const TestAdapter first(base_file, 1);
  const TestAdapter second(base_file, 2);
  const std::vector<float> plain = logits_of(*decoder);
  const auto merged_logits = [&](double first_strength, double second_strength) {
    const TempDir dir;
    const std::string file = (dir.path() / "merged.gguf").string();
    std::filesystem::copy_file(base_file, file);
    merge(file, first, first_strength);
    merge(file, second, second_strength);
    const auto merged = *load(file);
    return logits_of(*decoder_of(*merged));
  };
  const auto a = load_adapter(*decoder, base_file, first);
  const auto b = load_adapter(*decoder, base_file, second);

  decoder->use_adapters(set_of(1, {{a, 1.0F}}));
  const std::vector<float> with_first = logits_of(*decoder);
  EXPECT_GT(largest_difference(with_first, plain), 0.1F);
  EXPECT_LT(largest_difference(with_first, merged_logits(1, 0)), kTolerance);

  decoder->use_adapters(set_of(2, {{a, 0.25F}}));
  EXPECT_LT(largest_difference(logits_of(*decoder), merged_logits(0.25, 0)), kTolerance);

  decoder->use_adapters(set_of(3, {{a, 0.5F}, {b, 1.0F}}));
  EXPECT_LT(largest_difference(logits_of(*decoder), merged_logits(0.5, 1)), kTolerance);

  decoder->use_adapters(nullptr);
  EXPECT_EQ(logits_of(*decoder), plain);
}

TEST(Adapter, GoesWhenNobodyHoldsIt) {
  const std::string file = TinyModels::file("llama");
  const auto model = *load(file);
  const auto decoder = decoder_of(*model);
  const TestAdapter adapter(file, 1);
  auto set = set_of(1, {{load_adapter(*decoder, file, adapter), 1.0F}});
  const std::weak_ptr<const AdapterSet> watch = set;
  decoder->use_adapters(std::move(set));
  EXPECT_FALSE(watch.expired()) << "the decoder computes with it";
  const auto before = logits_of(*decoder);
  decoder->use_adapters(nullptr);
  EXPECT_TRUE(watch.expired());
  // Loaded again it is the same.
  decoder->use_adapters(set_of(2, {{load_adapter(*decoder, file, adapter), 1.0F}}));
  EXPECT_EQ(logits_of(*decoder), before);
}

TEST(Scheduler, AnswersWithDifferentAdaptersSideBySide) {
  const std::string file = TinyModels::file("phi3");
  const TestAdapter first(file, 1);
  const TestAdapter second(file, 2);
  Bench bench("phi3");
  const auto a = load_adapter(*bench.decoder, file, first);
  const auto b = load_adapter(*bench.decoder, file, second);
  const std::vector<AdapterSetPointer> sets{nullptr, set_of(1, {{a, 1.0F}}), set_of(2, {{b, 1.0F}}),
                                            set_of(3, {{a, 1.0F}, {b, 0.5F}})};
  const auto request = [&](const AdapterSetPointer& set) {
    auto one = bench.greedy("the river is", 24);
    one.adapters = set;
    return one;
  };
  std::vector<std::vector<TokenId>> alone;
  for (const auto& set : sets) {
    const auto outcome = bench.answer(request(set));
    EXPECT_EQ(outcome.summary->cached_tokens, 0) << "nothing is shared between adapters";
    alone.push_back(outcome.tokens);
  }
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_NE(alone[1], alone[2]);
  EXPECT_NE(alone[1], alone[3]);
  EXPECT_GT(bench.answer(request(sets[1])).summary->cached_tokens, 0) << "but with the same";

  std::vector<std::shared_ptr<Generation>> generations;
  for (const auto& set : sets) generations.push_back(*bench.scheduler.submit(request(set)));
  bench.run();
  for (std::size_t i = 0; i < sets.size(); ++i)
    EXPECT_EQ(Bench::read(*generations[i]).tokens, alone[i]) << i;
}

TEST(Scheduler, RunsErrandsBetweenBatches) {
  Bench bench("llama");
  const base::Context ctx = base::Context().with_timeout(std::chrono::seconds(20));
  auto endless = *bench.scheduler.submit(bench.greedy("the river", 200));
  bench.scheduler.start();
  int runs = 0;
  EXPECT_TRUE(bench.scheduler.run_between_batches(ctx, [&](Decoder& decoder) -> base::Status {
    EXPECT_EQ(&decoder, bench.decoder.get());
    ++runs;
    return {};
  }));
  const auto failed = bench.scheduler.run_between_batches(
      ctx, [&](Decoder&) -> base::Status { return base::Error(base::ErrorCode::Invalid, "no"); });
  EXPECT_EQ(failed.error().message(), "no");
  EXPECT_EQ(runs, 1);
}

TEST(Scheduler, AbandonsAnErrandWhoseCallerIsGone) {
  Bench bench("llama");
  std::stop_source stop;
  stop.request_stop();
  bool ran = false;
  // Not started: nobody would run it.
  const auto outcome =
      bench.scheduler.run_between_batches(base::Context(stop.get_token()), [&](Decoder&) {
        ran = true;
        return base::Status();
      });
  EXPECT_EQ(outcome.error().code(), base::ErrorCode::Cancelled);
  bench.run();
  EXPECT_FALSE(ran);
}

TEST(EngineAdapterLoader, LoadsBesideARunningAnswer) {
  const std::string file = TinyModels::file("phi3");
  const TestAdapter adapter(file, 3);
  Bench bench("phi3");
  EngineAdapterLoader loader(file, bench.scheduler);
  auto running = *bench.scheduler.submit(bench.greedy("the river", 100));
  bench.scheduler.start();
  const base::Context ctx = base::Context().with_timeout(std::chrono::seconds(20));
  const auto loaded = loader.load(ctx, adapter.dir.path());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->rank, kRank);
  loader.forget(ctx);
  const TempDir empty;
  EXPECT_THAT(loader.load(ctx, empty.path()).error().message(),
              testing::HasSubstr("no adapter_config.json"));
}

}  // namespace
}  // namespace inference
