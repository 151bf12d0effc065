#include "tuning/config/training_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/file.h"
#include "tuning/config/templates.h"

namespace tuning {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

/// One section of a file, its lines indented.
ParsedConfig parse_section(const std::string& section, const std::string& lines) {
  std::string indented;
  std::size_t begin = 0;
  while (begin < lines.size()) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    indented += "    " + lines.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return parse_training_config("training_config:\n  " + section + ":\n" + indented);
}

std::string errors_of(const ParsedConfig& parsed) { return json::to_string(parsed.errors); }

TEST(TrainingConfig, ReadsTheShippedTemplates) {
  const std::string folder = KAITO_SOURCE_DIR "/config/tuning/";
  const auto lora = read_training_config(folder + "lora.yaml");
  ASSERT_TRUE(lora) << lora.error().message();
  EXPECT_EQ(lora->config.quantization.format, BaseFormat::Plain);
  EXPECT_EQ(lora->config.training.output_dir, "/mnt/results");
  EXPECT_EQ(lora->config.training.save, Rhythm::No);
  EXPECT_EQ(lora->config.lora.rank, 8);
  EXPECT_EQ(lora->config.dataset.train_share, 1);
  EXPECT_THAT(lora->notes, IsEmpty());
  const auto qlora = read_training_config(folder + "qlora.yaml");
  ASSERT_TRUE(qlora) << qlora.error().message();
  EXPECT_EQ(qlora->config.quantization.format, BaseFormat::Nf4);
  EXPECT_TRUE(qlora->config.quantization.double_quantization);
  EXPECT_EQ(qlora->config.quantization.compute, Precision::BFloat16);
}

TEST(TrainingConfig, HasTheShippedTemplatesCompiledIn) {
  for (const auto& [method, file] : {std::pair(Method::Lora, "lora"), {Method::Qlora, "qlora"}}) {
    const auto text =
        base::read_file(fmt::format("{}/config/tuning/{}.yaml", KAITO_SOURCE_DIR, file));
    ASSERT_TRUE(text);
    EXPECT_EQ(shipped_template(method), *text);
  }
}

TEST(TrainingConfig, HasUpstreamsDefaults) {
  const ParsedConfig parsed = parse_training_config("training_config: {}");
  EXPECT_THAT(parsed.errors, IsEmpty());
  EXPECT_EQ(parsed.config.lora.alpha, 8);
  EXPECT_EQ(parsed.config.training.learning_rate, 2e-5);
  EXPECT_EQ(parsed.config.training.max_length, 1024);
  EXPECT_EQ(parsed.config.dataset.train_share, 0.8);
  EXPECT_EQ(parsed.config.dataset.response_column, "text");
}

TEST(TrainingConfig, ReadsValuesAsYamlAndAsText) {
  const ParsedConfig parsed = parse_section("TrainingArguments",
                                            "learning_rate: 2e-3\n"
                                            "num_train_epochs: \"4\"\n"
                                            "max_steps: 1e3\n"
                                            "packing: \"True\"\n"
                                            "packing_strategy: wrapped\n"
                                            "lr_scheduler_type: cosine\n"
                                            "save_strategy: no\n"
                                            "seed: 7\n");
  EXPECT_THAT(parsed.errors, IsEmpty()) << errors_of(parsed);
  const TrainingSettings& training = parsed.config.training;
  EXPECT_EQ(training.learning_rate, 2e-3);
  EXPECT_EQ(training.epochs, 4);
  EXPECT_EQ(training.max_steps, 1000);
  EXPECT_EQ(training.packing, Packing::Wrapped);
  EXPECT_EQ(training.schedule, LearningRateSchedule::Cosine);
  EXPECT_EQ(training.seed, 7U);
}

TEST(TrainingConfig, ReadsEveryFormOfTargetModules) {
  const auto lora = [](const std::string& value) {
    return parse_section("LoraConfig", "target_modules: " + value + "\n").config.lora;
  };
  EXPECT_THAT(lora("[q_proj, v_proj]").target_modules, ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(lora("q_proj").target_modules, ElementsAre("q_proj"));
  EXPECT_TRUE(lora("all-linear").all_linear);
  EXPECT_TRUE(lora("[all-linear]").all_linear);
  EXPECT_EQ(lora("'.*_proj'").target_pattern, ".*_proj");
}

TEST(TrainingConfig, ReadsPatternsAndLayers) {
  const ParsedConfig parsed = parse_section("LoraConfig",
                                            "use_rslora: true\n"
                                            "layers_to_transform: [0, 3]\n"
                                            "rank_pattern: {q_proj: 4}\n"
                                            "alpha_pattern: {v_proj: 0.5}\n");
  EXPECT_THAT(parsed.errors, IsEmpty()) << errors_of(parsed);
  EXPECT_TRUE(parsed.config.lora.rank_stabilized);
  EXPECT_THAT(parsed.config.lora.layers, ElementsAre(0, 3));
  EXPECT_THAT(parsed.config.lora.rank_pattern, ElementsAre(Pair("q_proj", 4)));
  EXPECT_THAT(parsed.config.lora.alpha_pattern, ElementsAre(Pair("v_proj", 0.5)));
}

TEST(TrainingConfig, NamesTheNearestKey) {
  EXPECT_THAT(errors_of(parse_section("LoraConfig", "lora_alfa: 8\n")),
              HasSubstr("training_config.LoraConfig.lora_alfa: unknown key; did you mean "
                        "lora_alpha?"));
  EXPECT_THAT(errors_of(parse_section("TrainingArguments", "r: 8\n")),
              HasSubstr("it belongs in LoraConfig"));
  EXPECT_THAT(errors_of(parse_section("LoraConfig", "zzzzzzzzz: 8\n")),
              HasSubstr("LoraConfig.zzzzzzzzz: unknown key"));
  EXPECT_THAT(errors_of(parse_section("LoraConfg", "r: 8\n")),
              HasSubstr("unknown section; did you mean LoraConfig?"));
}

TEST(TrainingConfig, RefusesWhatItCannotDoWithTheReason) {
  EXPECT_THAT(errors_of(parse_section("LoraConfig", "use_dora: true\n")),
              HasSubstr("LoraConfig.use_dora: true is not supported: the adapter must stay"));
  EXPECT_THAT(errors_of(parse_section("LoraConfig", "bias: all\n")), HasSubstr("not supported"));
  EXPECT_THAT(errors_of(parse_section("TrainingArguments", "optim: lion_32bit\n")),
              HasSubstr("use adamw_torch"));
  EXPECT_THAT(errors_of(parse_section("TrainingArguments", "deepspeed: ds.json\n")),
              HasSubstr("one process"));
  EXPECT_THAT(
      errors_of(parse_section("QuantizationConfig", "load_in_4bit: true\nload_in_8bit: true\n")),
      HasSubstr("set only one"));
}

TEST(TrainingConfig, SaysWhatIsMapped) {
  const ParsedConfig parsed =
      parse_section("TrainingArguments", "optim: paged_adamw_8bit\nfp16: true\n");
  EXPECT_THAT(parsed.errors, IsEmpty());
  EXPECT_THAT(parsed.notes, Contains(HasSubstr("paged_adamw_8bit is computed as AdamW")));
  EXPECT_THAT(parsed.notes, Contains(HasSubstr("bfloat16")));
}

TEST(TrainingConfig, ReportsAllMistakesAtOnce) {
  const ParsedConfig parsed = parse_training_config(
      "training_config:\n"
      "  LoraConfig: {r: 0, lora_alpha: big, lora_dropout: 1.5}\n"
      "  DatasetConfig: {train_test_split: 0, shuffle_dataset: maybe}\n"
      "  DataCollator: [1]\n");
  EXPECT_EQ(parsed.errors.size(), 6U) << errors_of(parsed);
  EXPECT_THAT(errors_of(parsed), AllOf(HasSubstr("LoraConfig.r: 0 is not between 1 and 1024"),
                                       HasSubstr("LoraConfig.lora_alpha: expected a number"),
                                       HasSubstr("DataCollator: expected a map, found array")));
}

TEST(TrainingConfig, RefusesTextThatIsNoConfiguration) {
  EXPECT_THAT(errors_of(parse_training_config("a: 1")), HasSubstr("expected the key"));
  EXPECT_THAT(errors_of(parse_training_config("training_config: {}\nLoraConfig: {r: 1}")),
              HasSubstr("LoraConfig: unknown key; settings belong below training_config"));
  EXPECT_THAT(errors_of(parse_training_config("training_config: [")), HasSubstr("line"));
  EXPECT_THAT(errors_of(parse_training_config("")), HasSubstr("found 0"));
}

TEST(TrainingConfig, NamesTheFileThatIsMissing) {
  const auto missing = read_training_config("/nowhere/training_config.yaml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), base::ErrorCode::NotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("/nowhere/training_config.yaml"));
}

}  // namespace
}  // namespace tuning
