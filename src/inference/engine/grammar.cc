#include "inference/engine/grammar.h"

#include <fmt/format.h>
#include <json-schema-to-grammar.h>
#include <llama.h>

#include <exception>
#include <string_view>
#include <vector>

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

/// llama.cpp's parsers call themselves for every bracket, so the depth is bounded here.
constexpr int kMaxNesting = 64;

base::Status check_nesting(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '(' || c == '[' || c == '{') ++depth;
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
    if (depth > kMaxNesting)
      return Error(ErrorCode::Invalid,
                   fmt::format("brackets are nested deeper than {}", kMaxNesting));
  }
  return {};
}

/// llama.cpp's grammar engine, fed directly: its chat layer derives what was generated already from
/// two renderings of the template and gets that wrong for Phi-3.
class GrammarConstraint final : public Constraint {
 public:
  explicit GrammarConstraint(llama_sampler* grammar) : grammar_(grammar) {}
  ~GrammarConstraint() override { llama_sampler_free(grammar_); }

  void filter(std::span<Candidate> candidates) override {
    data_.resize(candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i)
      data_[i] = {candidates[i].token, candidates[i].logit, 0.0F};
    llama_token_data_array array{data_.data(), data_.size(), -1, false};
    llama_sampler_apply(grammar_, &array);
    for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].logit = data_[i].logit;
  }

  void accept(TokenId token) override {
    try {
      llama_sampler_accept(grammar_, token);
    } catch (const std::exception&) {
      // Only a token that `filter` forbids gets here; the caller never accepts one.
    }
  }

 private:
  llama_sampler* grammar_;
  std::vector<llama_token_data> data_;
};

}  // namespace

Result<std::string> grammar_from_json_schema(const std::string& schema) {
  TRY(check_nesting(schema));
  try {
    return json_schema_to_grammar(common_json::parse(schema));
  } catch (const std::exception& failure) {
    return Error(ErrorCode::Invalid, one_line(failure.what()));
  }
}

Result<std::string> grammar_of_json_object() {
  return grammar_from_json_schema(R"({"type":"object"})");
}

Result<std::unique_ptr<Constraint>> make_grammar_constraint(const Model& model,
                                                            const std::string& grammar) {
  TRY(check_nesting(grammar));
  llama_sampler* sampler = nullptr;
  try {
    sampler = llama_sampler_init_grammar(model.vocabulary(), grammar.c_str(), "root");
  } catch (const std::exception& failure) {
    return Error(ErrorCode::Invalid, fmt::format("grammar: {}", one_line(failure.what())));
  }
  if (!sampler) return Error(ErrorCode::Invalid, "grammar: it cannot be parsed");
  return std::make_unique<GrammarConstraint>(sampler);
}

}  // namespace inference
