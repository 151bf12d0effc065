#include "inference/http/chat_api.h"

#include <fmt/format.h>

#include <algorithm>

#include "inference/http/errors.h"
#include "inference/http/limits.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

/// Upstream's defaults: do_sample true, top_k 10, temperature 1, max_length 200.
constexpr int kDefaultTopK = 10;
constexpr int kDefaultLength = 200;

SamplingOptions api_defaults() {
  SamplingOptions options;
  options.top_k = kDefaultTopK;
  return options;
}

void reply(net::HttpExchange& exchange, net::HttpResponse response) {
  // A failure here means that the client is gone: there is nobody left to tell.
  (void)exchange.respond(std::move(response));
}

/// JSON that cannot be read is a schema error here, as in FastAPI.
net::HttpResponse body_error_response(const Error& error) {
  if (error.http_status() != 0 || error.code() != ErrorCode::Invalid)
    return error_response(ApiStyle::FastApi, error);
  return field_errors_response(ApiStyle::FastApi, {{"", "json_invalid", error.message()}});
}

}  // namespace

void ChatApi::chat(const base::Context& ctx, net::HttpExchange& exchange) const {
  const auto body = read_json_object(exchange);
  if (!body) return reply(exchange, body_error_response(body.error()));
  std::vector<FieldError> errors;
  const ChatRequest request = parse_chat(*body, room_.model.vocabulary_size(), errors);
  if (!errors.empty()) return reply(exchange, field_errors_response(ApiStyle::FastApi, errors));
  if (request.messages.empty() && request.prompt.value_or("").empty()) {
    return reply(exchange, error_response(ApiStyle::FastApi, 400,
                                          "Text generation parameter prompt required"));
  }
  const auto model = room_.choices.choose(request.model);
  if (!model) return reply(exchange, error_response(ApiStyle::FastApi, model.error()));
  auto prompt = make_prompt(request);
  if (!prompt) return reply(exchange, error_response(ApiStyle::FastApi, prompt.error()));
  auto answers = submit_all(exchange, request, *prompt, model->adapters);
  if (!answers) return reply(exchange, error_response(ApiStyle::FastApi, answers.error()));
  const auto whole = collect(ctx, exchange, std::move(*answers));
  if (!whole) return reply(exchange, error_response(ApiStyle::FastApi, whole.error()));
  std::string result;
  const bool repeat_prompt = request.return_full_text.value_or(!prompt->templated);
  for (const WholeAnswer& one : *whole) {
    if (repeat_prompt && request.prompt) result += request.prefix + *request.prompt;
    result += one.piece.text;
  }
  if (request.clean_up_spaces) result = clean_up_spaces(std::move(result));
  reply(exchange, net::HttpResponse::json(200, json::dump(json::Object{{"Result", result}})));
}

Result<ChatApi::Prompt> ChatApi::make_prompt(const ChatRequest& request) const {
  Prompt prompt;
  const bool wants_template = request.apply_chat_template.value_or(room_.model.has_chat_template());
  if (!request.messages.empty() || wants_template) {
    std::vector<ChatMessage> messages = request.messages;
    if (request.prompt) messages.push_back({"user", request.prefix + *request.prompt});
    const PromptText text = TRY(room_.model.render_chat(messages));
    TRY(check_text_size(room_, text.joined().size()));
    prompt.tokens = room_.model.tokenize(text);
    prompt.templated = true;
  } else {
    // A prompt to be cut may be as long as the body.
    if (!request.truncate_long_prompt) TRY(check_text_size(room_, request.prompt->size()));
    prompt.tokens = room_.model.tokenize(request.prefix + *request.prompt, Model::Special::Add);
    if (request.truncate_long_prompt) {
      // Keeps the end of the prompt, as the pipeline's "hole" strategy does.
      const int room =
          room_.scheduler.context_tokens() - request.max_new_tokens.value_or(kDefaultLength);
      const auto keep = static_cast<std::size_t>(std::max(room, 1));
      if (prompt.tokens.size() > keep)
        prompt.tokens.erase(prompt.tokens.begin(),
                            prompt.tokens.end() - static_cast<std::ptrdiff_t>(keep));
    }
  }
  TRY(check_prompt_size(room_.scheduler, prompt.tokens.size()));
  return prompt;
}

Result<int> ChatApi::answer_tokens(const ChatRequest& request, const Prompt& prompt) const {
  if (request.max_new_tokens) return *request.max_new_tokens;
  const int used = static_cast<int>(prompt.tokens.size());
  if (request.max_length) {
    if (*request.max_length > used) return *request.max_length - used;
    return Error(ErrorCode::Invalid,
                 fmt::format("generate_kwargs.max_length is {} tokens, but the prompt has {} "
                             "already; raise max_length or use max_new_tokens",
                             *request.max_length, used));
  }
  // Upstream's 200 count the prompt. A chat template would use much of that up, so there they are
  // for the answer alone.
  return prompt.templated ? kDefaultLength : std::max(kDefaultLength - used, 1);
}

Result<std::vector<Answer>> ChatApi::submit_all(const net::HttpExchange& exchange,
                                                const ChatRequest& request, const Prompt& prompt,
                                                const AdapterSetPointer& adapters) const {
  const int tokens = TRY(answer_tokens(request, prompt));
  std::vector<Answer> answers;
  for (int i = 0; i < request.sequences; ++i) {
    GenerationRequest generation;
    generation.prompt = prompt.tokens;
    generation.adapters = adapters;
    generation.sampling = resolve(request.sampling, room_.preset, api_defaults());
    generation.sampling.seed += static_cast<std::uint64_t>(i);
    if (!request.do_sample.value_or(true)) generation.sampling.temperature = 0;
    generation.max_new_tokens = tokens;
    generation.min_new_tokens = request.min_new_tokens;
    generation.end_tokens = request.end_tokens;
    generation.chunk_tokens = request.stop.empty() ? kWholeAnswerChunk : kStopStringChunk;
    generation.client = client_of(exchange.request());
    answers.emplace_back(room_.model, TRY(room_.scheduler.submit(std::move(generation))),
                         request.stop);
  }
  return answers;
}

}  // namespace inference
