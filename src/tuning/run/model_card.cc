#include "tuning/run/model_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tuning {
namespace {

std::string_view format_name(BaseFormat format) {
  switch (format) {
    case BaseFormat::Nf4:
      return "NF4 (QLoRA)";
    case BaseFormat::Fp4:
      return "FP4 (QLoRA)";
    case BaseFormat::Int8:
      return "int8 (QLoRA)";
    case BaseFormat::Plain:
      break;
  }
  return "as it is (LoRA)";
}

std::string targets_of(const LoraSettings& lora) {
  if (lora.all_linear) return "all-linear";
  if (!lora.target_pattern.empty()) return lora.target_pattern;
  if (lora.target_modules.empty()) return "the model's default";
  return fmt::format("{}", fmt::join(lora.target_modules, ", "));
}

}  // namespace

std::string model_card(const TrainingConfig& config, const CardFacts& facts,
                       const TrainingRun::Summary& summary) {
  const TrainingSettings& training = config.training;
  std::string card = fmt::format(
      "---\nbase_model: {0}\nlibrary_name: peft\ntags:\n- lora\n- kaito\npipeline_tag: "
      "text-generation\n---\n\n"
      "# Adapter for {0}\n\n"
      "A LoRA adapter in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`. It "
      "works only on "
      "the base model named above.\n\n",
      facts.base_model.empty() ? "unknown" : facts.base_model);
  const auto row = [&](std::string_view name, const std::string& value) {
    card += fmt::format("| {} | {} |\n", name, value);
  };
  card += "| | |\n|---|---|\n";
  row("Base weights", fmt::format("{}; kept in training {}", facts.base_origin,
                                  format_name(config.quantization.format)));
  row("Rank, alpha, dropout",
      fmt::format("{}, {}, {}{}", config.lora.rank, config.lora.alpha, config.lora.dropout,
                  config.lora.rank_stabilized ? ", rslora" : ""));
  row("Modules", targets_of(config.lora));
  row("Trained numbers", fmt::format("{}", facts.parameters));
  row("Data", fmt::format("{} rows of {}{}", facts.rows, facts.data,
                          facts.cut_rows > 0 ? fmt::format("; {} cut at {} tokens", facts.cut_rows,
                                                           training.max_length)
                                             : ""));
  row("Steps", fmt::format("{} of {} x {} sequences", summary.steps, training.accumulation_steps,
                           training.batch_size));
  row("Learning rate", fmt::format("{}", training.learning_rate));
  row("Seed", fmt::format("{}", training.seed));
  row("Loss",
      fmt::format("{:.4f} at first, {:.4f} at the end", summary.first_loss, summary.last_loss));
  if (summary.evaluation_loss)
    row("Loss on rows kept apart", fmt::format("{:.4f}", *summary.evaluation_loss));
  row("Made with", facts.program);
  card +=
      "\n## Use\n\n```python\nfrom peft import PeftModel\nmodel = PeftModel.from_pretrained(base, "
      "\"path/to/this/folder\")\n```\n\nIn a cluster: name the image that holds this folder as "
      "`/data` in a Workspace's `inference.adapters`.\n";
  return card;
}

}  // namespace tuning
