#include "model/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <vector>

#include "json/yaml.h"
#include "model/catalog/table.h"

namespace model {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string folded(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

std::vector<Preset> sorted_presets() {
  const auto table = preset_table();
  std::vector<Preset> all(table.begin(), table.end());
  std::ranges::sort(all, {}, &Preset::name);
  return all;
}

/// What the hub takes for the name of an organisation or of a model.
bool is_hub_name(std::string_view part) {
  constexpr std::size_t kMaxBytes = 96;
  constexpr std::string_view kSigns = "-._";
  const auto allowed = [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kSigns.contains(c);
  };
  // As in the names of images.
  const auto both_signs = [&](char a, char b) {
    return kSigns.contains(a) && kSigns.contains(b) && (a != '_' || b != '_');
  };
  return !part.empty() && part.size() <= kMaxBytes && std::ranges::all_of(part, allowed) &&
         !kSigns.contains(part.front()) && !kSigns.contains(part.back()) &&
         std::ranges::adjacent_find(part, both_signs) == part.end();
}

/// Insertions, removals and replacements that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0UZ);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::span<const Preset> presets() {
  static const std::vector<Preset> all = sorted_presets();
  return all;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : presets()) {
    if (same(preset.name, name) || same(preset.hf_id, name)) return &preset;
  }
  return nullptr;
}

std::optional<Preset> resolve_preset(std::string_view name) {
  if (const Preset* known = find_preset(name)) return *known;
  const auto slash = name.find('/');
  if (slash == std::string_view::npos || !is_hub_name(name.substr(0, slash)) ||
      !is_hub_name(name.substr(slash + 1))) {
    return std::nullopt;
  }
  Preset preset;
  preset.name = folded(name.substr(slash + 1));
  // Else its image would be that of the catalogue's model.
  if (find_preset(preset.name)) preset.name = folded(name.substr(0, slash)) + "-" + preset.name;
  preset.hf_id = name;
  // A model without a chat template then continues text, as a base model does.
  preset.instruct = true;
  return preset;
}

std::string_view suggest_preset(std::string_view name) {
  constexpr std::size_t kMaxNameBytes = 200;
  constexpr std::size_t kFarthest = 1000;
  std::string wanted = folded(name.substr(0, kMaxNameBytes));
  wanted.erase(0, wanted.rfind('/') + 1);
  if (wanted.empty()) return {};
  std::string_view best;
  std::size_t best_distance = kFarthest;
  for (const Preset& preset : presets()) {
    // What goes on where the user stopped beats what differs in letters.
    const bool begins = preset.name.starts_with(wanted);
    const std::size_t distance = begins ? 0 : edit_distance(wanted, preset.name);
    if (distance < best_distance && (begins || distance <= wanted.size() / 3)) {
      best = preset.name;
      best_distance = distance;
    }
  }
  return best;
}

std::string image_reference(const Preset& preset, std::string_view registry) {
  return fmt::format("{}{}kaito-{}:{}", registry, registry.empty() ? "" : "/", preset.name,
                     preset.tag);
}

std::optional<std::int64_t> max_model_len(const std::map<std::string, std::string>& config_data) {
  const auto file = config_data.find("inference_config.yaml");
  if (file == config_data.end()) return std::nullopt;
  const auto documents = json::parse_yaml(file->second);
  if (!documents || documents->empty()) return std::nullopt;
  const json::Object* vllm = json::find_object(documents->front().value, "vllm");
  const json::Value* length = vllm ? vllm->if_contains("max-model-len") : nullptr;
  if (!length) return std::nullopt;
  // Upstream reads the whole map as texts, so that users may quote the number.
  std::int64_t tokens = 0;
  if (const json::String* text = length->if_string()) {
    const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), tokens);
    if (code != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  } else if (length->is_int64()) {
    tokens = length->get_int64();
  }
  return tokens > 0 ? std::optional(tokens) : std::nullopt;
}

}  // namespace model
