#include "inference/http/openai_json.h"

#include <fmt/format.h>

#include "inference/text/text_assembler.h"

namespace inference {
namespace {

std::string piece_of(const Model& model, TokenId token) {
  std::string bytes;
  model.append_piece(bytes, token, Model::Special::Add);
  return bytes;
}

json::Object chat_logprob(const Model& model, TokenId token, float logprob) {
  const std::string bytes = piece_of(model, token);
  json::Array numbers;
  for (const char c : bytes) numbers.emplace_back(static_cast<unsigned char>(c));
  return {{"token", to_utf8(bytes)}, {"logprob", logprob}, {"bytes", numbers}};
}

json::Object chat_logprobs(const Model& model, std::span<const Choice> tokens) {
  json::Array content;
  for (const Choice& choice : tokens) {
    json::Object entry = chat_logprob(model, choice.token, choice.logprob);
    json::Array top;
    for (const TokenLogprob& one : choice.top)
      top.push_back(chat_logprob(model, one.token, one.logprob));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", content}};
}

json::Object text_logprobs(const Model& model, std::span<const Choice> tokens, int& offset) {
  json::Array names, logprobs, tops, offsets;
  for (const Choice& choice : tokens) {
    const std::string text = to_utf8(piece_of(model, choice.token));
    names.emplace_back(text);
    logprobs.emplace_back(choice.logprob);
    json::Object top;
    for (const TokenLogprob& one : choice.top)
      top[to_utf8(piece_of(model, one.token))] = one.logprob;
    tops.push_back(std::move(top));
    offsets.emplace_back(offset);
    offset += static_cast<int>(text.size());
  }
  return {{"tokens", names},
          {"token_logprobs", logprobs},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

std::string json_text(std::string_view text) { return json::dump(json::Value(text)); }

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  return reason == FinishReason::Length ? "length" : "stop";
}

json::Object usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", json::Object{{"cached_tokens", usage.cached_tokens}}}};
}

std::string whole_answer_json(const AnswerHeader& header, const Model& model,
                              std::span<const WholeAnswer> answers, const Usage& usage) {
  const bool chat = header.kind == CompletionKind::Chat;
  json::Array choices;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const WholeAnswer& answer = answers[i];
    json::Object choice{{"index", i}};
    if (chat) {
      choice["message"] = json::Object{{"role", "assistant"}, {"content", answer.piece.text}};
    } else {
      choice["text"] = answer.piece.text;
    }
    int offset = 0;
    choice["logprobs"] = nullptr;
    if (header.logprobs && chat) choice["logprobs"] = chat_logprobs(model, answer.piece.tokens);
    if (header.logprobs && !chat)
      choice["logprobs"] = text_logprobs(model, answer.piece.tokens, offset);
    choice["finish_reason"] = finish_reason_name(answer.summary.reason);
    choices.push_back(std::move(choice));
  }
  return json::dump(json::Object{{"id", header.id},
                                 {"object", chat ? "chat.completion" : "text_completion"},
                                 {"created", header.created},
                                 {"model", header.model},
                                 {"choices", std::move(choices)},
                                 {"usage", usage_json(usage)}});
}

StreamWriter::StreamWriter(AnswerHeader header, const Model& model)
    : header_(std::move(header)), model_(model) {
  const bool chat = header_.kind == CompletionKind::Chat;
  prefix_ = fmt::format(R"(data: {{"id":{},"object":"{}","created":{},"model":{},"choices":[)",
                        json_text(header_.id), chat ? "chat.completion.chunk" : "text_completion",
                        header_.created, json_text(header_.model));
}

std::string StreamWriter::event(int index, std::string_view payload,
                                std::string_view finish) const {
  return fmt::format("{}{{\"index\":{},{},\"finish_reason\":{}}}]}}\n\n", prefix_, index, payload,
                     finish);
}

std::string StreamWriter::begin(int index) const {
  return event(index, R"("delta":{"role":"assistant","content":""},"logprobs":null)", "null");
}

std::string StreamWriter::text(int index, const Answer::Piece& piece) {
  const bool chat = header_.kind == CompletionKind::Chat;
  std::string logprobs = "null";
  if (header_.logprobs && chat) logprobs = json::dump(chat_logprobs(model_, piece.tokens));
  if (header_.logprobs && !chat) {
    const auto at = static_cast<std::size_t>(index);
    if (text_offsets_.size() <= at) text_offsets_.resize(at + 1);
    logprobs = json::dump(text_logprobs(model_, piece.tokens, text_offsets_[at]));
  }
  const std::string text = json_text(piece.text);
  return event(index,
               chat ? fmt::format(R"("delta":{{"content":{}}},"logprobs":{})", text, logprobs)
                    : fmt::format(R"("text":{},"logprobs":{})", text, logprobs),
               "null");
}

std::string StreamWriter::end(int index, FinishReason reason) const {
  const bool chat = header_.kind == CompletionKind::Chat;
  return event(index, chat ? R"("delta":{},"logprobs":null)" : R"("text":"","logprobs":null)",
               fmt::format("\"{}\"", finish_reason_name(reason)));
}

std::string StreamWriter::usage(const Usage& usage) const {
  return fmt::format("{}],\"usage\":{}}}\n\n", prefix_, json::dump(usage_json(usage)));
}

}  // namespace inference
