#include "inference/http/openai_api.h"

#include <fmt/format.h>

#include "base/random.h"
#include "inference/engine/grammar.h"
#include "inference/http/errors.h"
#include "inference/http/limits.h"
#include "inference/text/text_assembler.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr SamplingOptions kApiDefaults{};
/// OpenAI's default for completions; chat answers may use what is left of the context.
constexpr int kCompletionTokens = 16;

std::int64_t unix_seconds(const base::Clock& clock) {
  return std::chrono::duration_cast<std::chrono::seconds>(clock.now().time_since_epoch()).count();
}

void reply(net::HttpExchange& exchange, net::HttpResponse response) {
  // A failure here means that the client is gone: there is nobody left to tell.
  (void)exchange.respond(std::move(response));
}

net::HttpResponse too_long(CompletionKind kind, const Error& error) {
  return error_response(ApiStyle::OpenAi, 400, error.message(),
                        kind == CompletionKind::Chat ? "messages" : "prompt",
                        "context_length_exceeded");
}

}  // namespace

OpenAiApi::OpenAiApi(EngineRoom room)
    : room_(std::move(room)), started_(unix_seconds(room_.clock)) {}

void OpenAiApi::models(net::HttpExchange& exchange) const {
  json::Array models;
  const auto add = [&](const std::string& id, const json::Value& parent) {
    models.push_back(json::Object{{"id", id},
                                  {"object", "model"},
                                  {"created", started_},
                                  {"owned_by", "kaito"},
                                  {"root", id},
                                  {"parent", parent},
                                  {"max_model_len", room_.scheduler.context_tokens()},
                                  {"permission", json::Array{}}});
  };
  const auto view = room_.choices.view();
  const std::string base = room_.choices.base_name();
  add(room_.choices.served_name(), view->all ? json::Value(base) : json::Value(nullptr));
  if (!view->adapters.empty()) add(base, nullptr);
  for (const AdapterStatus& one : view->adapters)
    if (one.state == AdapterState::Loaded) add(one.name, json::Value(base));
  reply(exchange, net::HttpResponse::json(
                      200, json::dump(json::Object{{"object", "list"}, {"data", models}})));
}

void OpenAiApi::adapters(net::HttpExchange& exchange) const {
  const auto view = room_.choices.view();
  json::Array list;
  for (const AdapterStatus& one : view->adapters) {
    list.push_back(json::Object{{"id", one.name},
                                {"object", "adapter"},
                                {"source", one.source},
                                {"strength", one.strength},
                                {"state", json::String(to_string(one.state))},
                                {"message", to_utf8(one.message)},
                                {"rank", one.rank},
                                {"bytes", one.bytes}});
  }
  reply(exchange,
        net::HttpResponse::json(200, json::dump(json::Object{{"object", "list"},
                                                             {"revision", view->revision},
                                                             {"error", to_utf8(view->error)},
                                                             {"data", std::move(list)}})));
}

std::optional<AdapterChoices::Choice> OpenAiApi::choose_model(net::HttpExchange& exchange,
                                                              const std::string& name) const {
  auto choice = room_.choices.choose(to_utf8(name));
  if (choice) return *std::move(choice);
  if (choice.error().code() == ErrorCode::NotFound) {
    reply(exchange, error_response(ApiStyle::OpenAi, 404, choice.error().message(), "model",
                                   "model_not_found"));
  } else {
    reply(exchange, error_response(ApiStyle::OpenAi, choice.error()));
  }
  return std::nullopt;
}

void OpenAiApi::chat_completions(const base::Context& ctx, net::HttpExchange& exchange) const {
  const auto body = read_json_object(exchange);
  if (!body) return reply(exchange, error_response(ApiStyle::OpenAi, body.error()));
  std::vector<FieldError> errors;
  const ChatCompletionRequest request =
      parse_chat_completion(*body, room_.model.vocabulary_size(), errors);
  if (!errors.empty()) return reply(exchange, field_errors_response(ApiStyle::OpenAi, errors));
  const auto model = choose_model(exchange, request.options.model);
  if (!model) return;
  const auto text = room_.model.render_chat(request.messages);
  if (!text)
    return reply(exchange,
                 error_response(ApiStyle::OpenAi, 400, text.error().message(), "messages"));
  if (const auto fits = check_text_size(room_, text->joined().size()); !fits)
    return reply(exchange, too_long(CompletionKind::Chat, fits.error()));
  answer(ctx, exchange,
         {CompletionKind::Chat, *model, request.options, {room_.model.tokenize(*text)}});
}

void OpenAiApi::completions(const base::Context& ctx, net::HttpExchange& exchange) const {
  const auto body = read_json_object(exchange);
  if (!body) return reply(exchange, error_response(ApiStyle::OpenAi, body.error()));
  std::vector<FieldError> errors;
  CompletionRequest request = parse_completion(*body, room_.model.vocabulary_size(), errors);
  if (!errors.empty()) return reply(exchange, field_errors_response(ApiStyle::OpenAi, errors));
  const auto model = choose_model(exchange, request.options.model);
  if (!model) return;
  if (!request.options.max_tokens) request.options.max_tokens = kCompletionTokens;
  Prompts prompts;
  for (auto& prompt : request.prompts) {
    if (auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) {
      prompts.push_back(std::move(*tokens));
    } else {
      const std::string& text = std::get<std::string>(prompt);
      if (const auto fits = check_text_size(room_, text.size()); !fits)
        return reply(exchange, too_long(CompletionKind::Text, fits.error()));
      prompts.push_back(room_.model.tokenize(text, Model::Special::Add));
    }
  }
  answer(ctx, exchange, {CompletionKind::Text, *model, request.options, std::move(prompts)});
}

Result<GenerationRequest> OpenAiApi::make_request(const CompletionOptions& options,
                                                  const std::vector<TokenId>& prompt) const {
  GenerationRequest request;
  request.prompt = prompt;
  request.sampling = resolve(options.sampling, room_.preset, kApiDefaults);
  request.sampling.top_logprobs = options.top_logprobs.value_or(-1);
  request.max_new_tokens = options.max_tokens.value_or(room_.scheduler.context_tokens());
  request.min_new_tokens = options.min_tokens;
  request.ignore_end = options.ignore_eos;
  request.end_tokens = options.stop_tokens;
  request.chunk_tokens = options.stream         ? 1
                         : options.stop.empty() ? kWholeAnswerChunk
                                                : kStopStringChunk;
  std::string grammar;
  switch (options.format.kind) {
    case ResponseFormat::Kind::Text:
      return request;
    case ResponseFormat::Kind::JsonObject:
      grammar = TRY(grammar_of_json_object());
      break;
    case ResponseFormat::Kind::JsonSchema:
      grammar = TRY(grammar_from_json_schema(options.format.definition));
      break;
    case ResponseFormat::Kind::Grammar:
      grammar = options.format.definition;
      break;
  }
  request.constraint = TRY(make_grammar_constraint(room_.model, grammar));
  return request;
}

Result<std::vector<Answer>> OpenAiApi::submit_all(const net::HttpExchange& exchange,
                                                  const Work& work) const {
  std::vector<Answer> answers;
  for (const std::vector<TokenId>& prompt : work.prompts) {
    for (int i = 0; i < work.options.choices; ++i) {
      auto request = make_request(work.options, prompt);
      if (!request) return std::move(request).error().context("response_format");
      request->client = client_of(exchange.request());
      request->adapters = work.model.adapters;
      // The same seed would give n times the same answer.
      request->sampling.seed += static_cast<std::uint64_t>(i);
      auto generation = TRY(room_.scheduler.submit(std::move(*request)));
      answers.emplace_back(room_.model, std::move(generation), work.options.stop);
    }
  }
  return answers;
}

void OpenAiApi::answer(const base::Context& ctx, net::HttpExchange& exchange,
                       const Work& work) const {
  const auto& [kind, model, options, prompts] = work;
  Usage usage;
  for (const std::vector<TokenId>& prompt : prompts) {
    if (const auto fits = check_prompt_size(room_.scheduler, prompt.size()); !fits)
      return reply(exchange, too_long(kind, fits.error()));
    if (prompt.empty())
      return reply(exchange,
                   error_response(ApiStyle::OpenAi, 400, "the prompt is empty", "prompt"));
    usage.prompt_tokens += static_cast<int>(prompt.size());
  }
  auto answers = submit_all(exchange, work);
  if (!answers) return reply(exchange, error_response(ApiStyle::OpenAi, answers.error()));
  const AnswerHeader header{
      .kind = kind,
      .id = (kind == CompletionKind::Chat ? "chatcmpl-" : "cmpl-") + base::random_uuid(),
      .created = unix_seconds(room_.clock),
      .model = model.model,
      .logprobs = options.top_logprobs.has_value()};
  if (options.stream)
    return stream(ctx, exchange, header, options.stream_usage, std::move(*answers), usage);
  const auto whole = collect(ctx, exchange, std::move(*answers));
  if (!whole) return reply(exchange, error_response(ApiStyle::OpenAi, whole.error()));
  for (const WholeAnswer& one : *whole) {
    usage.completion_tokens += one.summary.generated_tokens;
    usage.cached_tokens += one.summary.cached_tokens;
  }
  reply(exchange,
        net::HttpResponse::json(200, whole_answer_json(header, room_.model, *whole, usage)));
}

void OpenAiApi::stream(const base::Context& ctx, net::HttpExchange& exchange,
                       const AnswerHeader& header, bool with_usage, std::vector<Answer> answers,
                       Usage usage) const {
  net::HttpResponse head;
  head.headers.set("Content-Type", "text/event-stream; charset=utf-8");
  head.headers.set("Cache-Control", "no-cache");
  if (!exchange.start_stream(std::move(head))) return;
  StreamWriter writer(header, room_.model);
  const int count = static_cast<int>(answers.size());
  if (header.kind == CompletionKind::Chat) {
    for (int i = 0; i < count; ++i)
      if (!exchange.write(writer.begin(i))) return;
  }
  int open = count;
  // With one answer, wait for it; with several, look at each in turn.
  const std::chrono::milliseconds patience =
      count == 1 ? kClientCheck : std::chrono::milliseconds(5);
  while (open > 0) {
    for (int i = 0; i < count; ++i) {
      Answer& one = answers[static_cast<std::size_t>(i)];
      if (one.done()) continue;
      const auto piece = one.next(ctx.stop(), patience);
      if (!piece && (exchange.client_gone() || ctx.stopped())) return;
      if (!piece) continue;
      std::string events;
      if (!piece->text.empty() || (header.logprobs && !piece->tokens.empty()))
        events = writer.text(i, *piece);
      if (one.done()) {
        --open;
        if (const auto good = check(one.summary()); !good) {
          (void)exchange.write("data: " + openai_error_body(500, good.error().message(), "", "") +
                               "\n\n");
          return;
        }
        events += writer.end(i, one.summary().reason);
        usage.completion_tokens += one.summary().generated_tokens;
        usage.cached_tokens += one.summary().cached_tokens;
      }
      if (!events.empty() && !exchange.write(events)) return;
    }
  }
  if (with_usage && !exchange.write(writer.usage(usage))) return;
  (void)exchange.write("data: [DONE]\n\n");
}

void OpenAiApi::tokenize(net::HttpExchange& exchange) const {
  const auto body = read_json_object(exchange);
  if (!body) return reply(exchange, error_response(ApiStyle::OpenAi, body.error()));
  std::vector<FieldError> errors;
  FieldReader reader(*body, errors);
  const auto prompt = reader.text("prompt");
  const std::vector<ChatMessage> messages = read_messages(reader, "messages");
  const bool add_special = reader.boolean("add_special_tokens").value_or(true);
  if (errors.empty() && !prompt && messages.empty())
    reader.fail("prompt", "missing", "Field required");
  if (!errors.empty()) return reply(exchange, field_errors_response(ApiStyle::OpenAi, errors));
  std::vector<TokenId> tokens;
  if (prompt) {
    tokens =
        room_.model.tokenize(*prompt, add_special ? Model::Special::Add : Model::Special::None);
  } else {
    const auto text = room_.model.render_chat(messages);
    if (!text)
      return reply(exchange,
                   error_response(ApiStyle::OpenAi, 400, text.error().message(), "messages"));
    tokens = room_.model.tokenize(*text);
  }
  json::Array list(tokens.begin(), tokens.end());
  reply(exchange,
        net::HttpResponse::json(
            200, json::dump(json::Object{{"count", tokens.size()},
                                         {"max_model_len", room_.scheduler.context_tokens()},
                                         {"tokens", std::move(list)}})));
}

void OpenAiApi::detokenize(net::HttpExchange& exchange) const {
  const auto body = read_json_object(exchange);
  if (!body) return reply(exchange, error_response(ApiStyle::OpenAi, body.error()));
  std::vector<FieldError> errors;
  FieldReader reader(*body, errors);
  const json::Array* tokens = reader.array("tokens");
  if (!tokens && errors.empty()) reader.fail("tokens", "missing", "Field required");
  std::string bytes;
  for (std::size_t i = 0; tokens && i < tokens->size() && errors.empty(); ++i) {
    const auto* token = (*tokens)[i].if_int64();
    if (!token || *token < 0 || *token >= room_.model.vocabulary_size()) {
      reader.fail(
          "tokens", "int_type",
          fmt::format("tokens should be whole numbers below {}", room_.model.vocabulary_size()));
    } else {
      room_.model.append_piece(bytes, static_cast<TokenId>(*token), Model::Special::Add);
    }
  }
  if (!errors.empty()) return reply(exchange, field_errors_response(ApiStyle::OpenAi, errors));
  reply(exchange,
        net::HttpResponse::json(200, json::dump(json::Object{{"prompt", to_utf8(bytes)}})));
}

}  // namespace inference
