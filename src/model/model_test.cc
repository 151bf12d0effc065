#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/file.h"
#include "model/catalog/catalog.h"
#include "model/estimator/estimator.h"
#include "model/gguf/gguf.h"
#include "model/sku/sku.h"

namespace model {
namespace {

using testing::HasSubstr;

const std::filesystem::path kRoot = KAITO_SOURCE_DIR;

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

TEST(Catalog, SuggestsWhatWasMeant) {
  EXPECT_TRUE(suggest_preset("phi-3").starts_with("phi-3-m"));
  EXPECT_EQ(suggest_preset("phi-3-mini-4k-instrct"), "phi-3-mini-4k-instruct");
  EXPECT_EQ(suggest_preset("microsoft/Phi_4"), "phi-4");
  EXPECT_EQ(suggest_preset("smollm2"), "smollm2-135m-instruct");
  EXPECT_EQ(suggest_preset("nobody-knows-this-model-at-all"), "");
  EXPECT_EQ(suggest_preset(""), "");
  EXPECT_EQ(suggest_preset(std::string(10000, 'x')), "");
}

TEST(Catalog, TakesAnyIdOfTheHub) {
  const auto unknown = resolve_preset("TinyLlama/TinyLlama_v1.1-Chat");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->hf_id, "TinyLlama/TinyLlama_v1.1-Chat");
  EXPECT_EQ(image_reference(*unknown, "r:5000"), "r:5000/kaito-tinyllama_v1.1-chat:latest");
  EXPECT_EQ(unknown->weights_bytes(), 0);
  EXPECT_EQ(resolve_preset("someone/Phi-4")->name, "someone-phi-4");
  EXPECT_EQ(resolve_preset("Microsoft/phi-4")->name, "phi-4");
  EXPECT_GT(resolve_preset("phi-4")->weights_bytes(), 0);
  for (const char* name :
       {"", "/", "a/", "/b", "phi", "a/b/c", "a b/c", "-a/b", "a/b.", "a/b--c", "../b", "a/b\n"})
    EXPECT_FALSE(resolve_preset(name)) << name;
}

TEST(Catalog, KnowsTheQuickstartsFile) {
  const Preset& preset = *find_preset("smollm2-135m-instruct");
  EXPECT_EQ(preset.weights_bytes(), 98362432);
  EXPECT_EQ(preset.context_tokens, 8192);
  EXPECT_TRUE(preset.instruct);
  EXPECT_EQ(preset.sampling.temperature, 0.2);
  EXPECT_EQ(preset.sampling.top_p, 0.9);
  EXPECT_FALSE(preset.sampling.top_k);
}

std::string presets_page() {
  std::string page =
      "# Presets\n\n"
      "`inference.preset.name` is a name or a Hugging Face id of this table, without regard to "
      "case. The\nimage of a preset is `<registry>/kaito-<name>:<tag>`; `kaito model import FILE "
      "--name NAME` makes and\npushes it. (Made from src/model/catalog/table.cc by "
      "`KAITO_UPDATE_GOLDEN=1 model_test`.)\n\n"
      "| Name | Hugging Face id | Weights | Context | Kind | Access |\n"
      "|---|---|---|---|---|---|\n";
  for (const Preset& p : presets()) {
    page +=
        fmt::format("| `{}` | {} | {:.2f} GiB{} | {} | {} | {} |\n", p.name, p.hf_id, p.weights_gib,
                    p.quantization.empty() ? "" : fmt::format(" {}", p.quantization),
                    p.context_tokens, p.instruct ? "chat" : "base", p.access);
  }
  return page +
         "\nAny other Hugging Face id, `org/model`, is taken too: its image is "
         "`<registry>/kaito-<model>:latest` with\nthe model in small letters "
         "(`kaito-<org>-<model>` where the table has that name already). Nothing is known of its\n"
         "size, so it is not compared with the memory of the instance type.\n"
         "\nA chat model answers in turns: prompts get its chat template. A base model continues "
         "text.\nFor `private` ones the licence asks you to build the image: set `accessMode: "
         "private` and\n`presetOptions.image`.\n";
}

TEST(Catalog, ThePageListsWhatTheTableHolds) {
  const auto path = kRoot / "docs/reference/presets.md";
  const std::string wanted = presets_page();
  if (std::getenv("KAITO_UPDATE_GOLDEN")) {
    ASSERT_TRUE(base::write_file_atomic(path, wanted, 0644));
  }
  const auto found = base::read_file(path);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(*found, wanted) << "run this test with KAITO_UPDATE_GOLDEN=1";
}

TEST(Catalog, ReadsTheContextLengthOfAConfig) {
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm:\n  max-model-len: 4096\n"}}), 4096);
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm:\n  max-model-len: \"4096\"\n"}}), 4096);
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm:\n  max-model-len: -1\n"}}),
            std::nullopt);
  EXPECT_EQ(max_model_len({{"inference_config.yaml", "vllm:\n  max-model-len: auto\n"}}),
            std::nullopt);
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

std::vector<std::string> split(const std::string& line, char separator) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, separator);) fields.push_back(field);
  return fields;
}

// Upstream's own table (context 2048): every preset on ten instance types.
TEST(Estimator, GivesTheNodesUpstreamPublishes) {
  const std::string golden = *base::read_file(kRoot / "tests/golden/estimator/nodes.tsv");
  std::vector<std::string> machines;
  std::size_t cases = 0;
  for (const std::string& line : split(golden, '\n')) {
    if (line.starts_with('#')) continue;
    const auto fields = split(line, '\t');
    if (machines.empty()) {
      machines = fields;
      continue;
    }
    ASSERT_EQ(fields.size(), machines.size()) << line;
    const Preset* preset = find_preset(fields[0]);
    ASSERT_TRUE(preset) << fields[0];
    for (std::size_t i = 1; i < fields.size(); ++i) {
      const auto sku = find_sku("azure", machines[i]);
      ASSERT_TRUE(sku) << machines[i];
      const auto nodes = estimate_nodes({preset->weights_gib, preset->kv_bytes_per_token, 2048,
                                         sku->gpu_count, sku->gpu_memory_gib});
      ASSERT_TRUE(nodes) << line;
      EXPECT_EQ(std::to_string(*nodes), fields[i]) << preset->name << " on " << sku->name;
      ++cases;
    }
  }
  EXPECT_EQ(cases, 600U);
}

TEST(Estimator, CountsTheContext) {
  const Preset& phi = *find_preset("phi-3-mini-128k-instruct");
  const auto nodes = [&](std::int64_t context) {
    return estimate_nodes({phi.weights_gib, phi.kv_bytes_per_token, context, 1, 24});
  };
  EXPECT_EQ(*nodes(2048), 1);
  EXPECT_EQ(*nodes(32768), 2);
  EXPECT_FALSE(nodes(131072));
}

TEST(Estimator, RefusesAGpuThatHoldsNothing) {
  EXPECT_FALSE(estimate_nodes({7, 393216, 2048, 1, 2}));
  EXPECT_FALSE(estimate_nodes({0, 1, 1, 1, 80}));
}

/// Writes a GGUF in memory: a header, metadata, one tensor, data.
class GgufWriter {
 public:
  GgufWriter(std::uint64_t tensors, std::uint64_t entries) {
    out_ = "GGUF";
    put(std::uint32_t{3});
    put(tensors);
    put(entries);
  }
  template <class T>
  void put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    put(static_cast<std::uint64_t>(value.size()));
    out_ += value;
  }
  void text_entry(std::string_view key, std::string_view value) {
    text(key);
    put(std::uint32_t{8});
    text(value);
  }
  void number_entry(std::string_view key, std::uint32_t value) {
    text(key);
    put(std::uint32_t{4});
    put(value);
  }
  void tensor(std::string_view name, std::vector<std::uint64_t> extents, std::uint32_t type,
              std::uint64_t offset) {
    text(name);
    put(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) put(extent);
    put(type);
    put(offset);
  }
  std::string with_data(std::size_t bytes) {
    constexpr std::size_t kAlignment = 32;
    out_.resize((out_.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
    return out_ + std::string(bytes, 'x');
  }

 private:
  std::string out_;
};

/// One F32 tensor of `extent` elements and the usual metadata.
std::string tiny_gguf(std::uint64_t extent, std::size_t data_bytes) {
  GgufWriter file(1, 4);
  file.text_entry("general.architecture", "llama");
  file.text_entry("general.name", "tiny");
  file.number_entry("llama.context_length", 2048);
  file.text_entry("tokenizer.chat_template", "{{ messages }}");
  file.tensor("token_embd.weight", {extent}, 0, 0);
  return file.with_data(data_bytes);
}

TEST(Gguf, ReadsTheHeader) {
  const std::string file = tiny_gguf(16, 64);
  const auto info = parse_gguf(file, file.size());
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(info->architecture, "llama");
  EXPECT_EQ(info->name, "tiny");
  EXPECT_EQ(info->context_tokens, 2048U);
  EXPECT_TRUE(info->has_chat_template);
  EXPECT_EQ(info->quantization, "F32");
  EXPECT_EQ(info->parameters, 16U);
  EXPECT_EQ(info->tensor_count, 1U);
  EXPECT_EQ(info->data_end, file.size());
}

TEST(Gguf, SaysWhenAFileIsShort) {
  const std::string file = tiny_gguf(16, 60);
  EXPECT_THAT(parse_gguf(file, file.size()).error().message(),
              HasSubstr(fmt::format("truncated: {} bytes expected, {} found", file.size() + 4,
                                    file.size())));
  for (std::size_t cut = 0; cut < file.size(); ++cut) {
    EXPECT_FALSE(parse_gguf(file.substr(0, cut), cut)) << cut;
  }
}

TEST(Gguf, RefusesWhatIsNone) {
  EXPECT_THAT(parse_gguf("PK\x03\x04", 4).error().message(), HasSubstr("not a GGUF"));
  EXPECT_THAT(parse_gguf("", 0).error().message(), HasSubstr("not a GGUF"));
  EXPECT_EQ(read_gguf_info("/nonexistent.gguf").error().code(), base::ErrorCode::NotFound);
  EXPECT_FALSE(read_gguf_info("/dev/null"));
  EXPECT_FALSE(read_gguf_info("/"));
}

TEST(Gguf, RefusesWhatWasAltered) {
  const auto message = [](const std::string& file) {
    const auto info = parse_gguf(file, file.size());
    return info ? "accepted" : info.error().message();
  };
  const auto with_tensor = [&](std::vector<std::uint64_t> extents, std::uint32_t type,
                               std::uint64_t offset) {
    GgufWriter file(1, 1);
    file.text_entry("general.architecture", "llama");
    file.tensor("t", std::move(extents), type, offset);
    return message(file.with_data(4096));
  };
  EXPECT_EQ(with_tensor({16}, 0, 0), "accepted");
  EXPECT_THAT(with_tensor({}, 0, 0), HasSubstr("0 dimensions"));
  EXPECT_THAT(with_tensor({1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 dimensions"));
  EXPECT_THAT(with_tensor({0}, 0, 0), HasSubstr("impossible shape"));
  EXPECT_THAT(with_tensor({1ULL << 40, 1ULL << 40}, 0, 0), HasSubstr("impossible shape"));
  EXPECT_THAT(with_tensor({16}, 4, 0), HasSubstr("unknown type 4"));
  EXPECT_THAT(with_tensor({16}, 2, 0), HasSubstr("last block"));
  EXPECT_THAT(with_tensor({16}, 0, 1), HasSubstr("multiple of 32"));
  EXPECT_THAT(with_tensor({16}, 0, 4064), HasSubstr("truncated"));
  EXPECT_THAT(with_tensor({16}, 0, ~0ULL - 31), HasSubstr("beyond any file"));

  EXPECT_THAT(message(GgufWriter(1ULL << 60, 0).with_data(0)), HasSubstr("counts"));
  EXPECT_THAT(message(GgufWriter(0, 0).with_data(0)), HasSubstr("general.architecture"));
  GgufWriter twice(0, 2);
  twice.text_entry("a", "1");
  twice.text_entry("a", "2");
  EXPECT_THAT(message(twice.with_data(0)), HasSubstr("appears twice"));
  GgufWriter alignment(0, 2);
  alignment.text_entry("general.architecture", "llama");
  alignment.number_entry("general.alignment", 48);
  EXPECT_THAT(message(alignment.with_data(0)), HasSubstr("alignment"));
  GgufWriter nested(0, 1);
  nested.text("a");
  nested.put(std::uint32_t{9});
  nested.put(std::uint32_t{9});
  nested.put(std::uint64_t{1});
  EXPECT_THAT(message(nested.with_data(64)), HasSubstr("list type"));
  GgufWriter list(0, 1);
  list.text("a");
  list.put(std::uint32_t{9});
  list.put(std::uint32_t{8});
  list.put(std::uint64_t{1} << 60);
  EXPECT_THAT(message(list.with_data(64)), HasSubstr("too long"));
}

}  // namespace
}  // namespace model
