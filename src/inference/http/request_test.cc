#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inference/http/chat_request.h"
#include "inference/http/errors.h"
#include "inference/http/openai_request.h"
#include "json/value.h"

namespace inference {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kVocabulary = 1000;

json::Object object(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value->as_object();
}

std::vector<std::string> paths(const std::vector<FieldError>& errors) {
  std::vector<std::string> all;
  for (const FieldError& error : errors) all.push_back(error.path + " " + error.type);
  return all;
}

struct BadBody {
  std::string body;
  std::vector<std::string> mistakes;  ///< Path and type, in order.
};

TEST(ChatBody, Mistakes) {
  const std::vector<BadBody> cases{
      {R"({"prompt": 5})", {"prompt string_type"}},
      {R"({"prompt": "x", "return_full_text": "yes"})", {"return_full_text bool_type"}},
      {R"({"prompt": "x", "generate_kwargs": []})", {"generate_kwargs dict_type"}},
      {R"({"prompt": "x", "generate_kwargs": {"top_k": 1.5, "temperature": "hot"}})",
       {"generate_kwargs.temperature float_type", "generate_kwargs.top_k int_type"}},
      {R"({"prompt": "x", "generate_kwargs": {"max_length": 0}})",
       {"generate_kwargs.max_length out_of_range"}},
      {R"({"prompt": "x", "generate_kwargs": {"num_beams": 4}})",
       {"generate_kwargs.num_beams not_supported"}},
      {R"({"prompt": "x", "generate_kwargs": {"top_p": 1.5}})",
       {"generate_kwargs.top_p out_of_range"}},
      {R"({"messages": "hi"})", {"messages list_type"}},
      {R"({"messages": [{"role": "robot", "content": "x"}]})", {"messages.0.role literal_error"}},
      {R"({"messages": [7]})", {"messages.0 dict_type"}},
  };
  for (const BadBody& one : cases) {
    std::vector<FieldError> errors;
    (void)parse_chat(object(one.body), kVocabulary, errors);
    EXPECT_EQ(paths(errors), one.mistakes) << one.body;
  }
}

TEST(ChatBody, UnknownMembersAreIgnored) {
  std::vector<FieldError> errors;
  const ChatRequest request = parse_chat(
      object(
          R"({"prompt": "x", "novel": 1, "generate_kwargs": {"output_scores": false, "max_new_tokens": 7.0, "do_sample": false, "eos_token_id": [3, -1]}})"),
      kVocabulary, errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(request.prompt, "x");
  EXPECT_EQ(request.max_new_tokens, 7);
  EXPECT_EQ(request.do_sample, false);
  EXPECT_THAT(request.end_tokens, ElementsAre(3));
}

TEST(ChatBody, NullIsAbsent) {
  std::vector<FieldError> errors;
  const ChatRequest request = parse_chat(
      object(R"({"prompt": null, "messages": null, "generate_kwargs": {"top_k": null}})"),
      kVocabulary, errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_FALSE(request.prompt.has_value());
}

TEST(ChatBody, CleansUpSpaces) {
  EXPECT_EQ(clean_up_spaces("Yes , I do n't . It 's fine !"), "Yes, I don't. It's fine!");
}

TEST(ChatCompletionBody, Mistakes) {
  const std::vector<BadBody> cases{
      {R"({})", {"messages missing"}},
      {R"({"messages": []})", {"messages missing"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "temperature": true})",
       {"temperature float_type"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "n": 99})", {"n out_of_range"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0})",
       {"max_tokens out_of_range"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "stop": [""]})", {"stop string_type"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "stop": 5})", {"stop string_type"}},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
       {"messages.0.content not_supported"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "tools": [{}]})",
       {"tools not_supported"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "logit_bias": {"5000": 1}})",
       {"logit_bias value_error"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "xml"}})",
       {"response_format.type literal_error"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema"}})",
       {"response_format.json_schema.schema missing"}},
      {R"({"messages": [{"role": "user", "content": "x"}], "stream": "true", "top_p": -1})",
       {"top_p out_of_range", "stream bool_type"}},
  };
  for (const BadBody& one : cases) {
    std::vector<FieldError> errors;
    (void)parse_chat_completion(object(one.body), kVocabulary, errors);
    EXPECT_EQ(paths(errors), one.mistakes) << one.body;
  }
}

TEST(ChatCompletionBody, ReadsWhatTheSdkSends) {
  std::vector<FieldError> errors;
  const ChatCompletionRequest request = parse_chat_completion(
      object(R"({"model": "m", "messages": [{"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        "max_completion_tokens": 9, "max_tokens": 5, "stream": true, "stream_options": {"include_usage": true},
        "logprobs": true, "top_logprobs": 2, "logit_bias": {"7": -100}, "seed": 3, "stop": "END",
        "response_format": {"type": "json_object"}, "tool_choice": "none", "tools": [{}]})"),
      kVocabulary, errors);
  EXPECT_THAT(errors, IsEmpty());
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "a\nb");
  EXPECT_EQ(request.options.max_tokens, 9);
  EXPECT_TRUE(request.options.stream_usage);
  EXPECT_EQ(request.options.top_logprobs, 2);
  EXPECT_THAT(request.options.stop, ElementsAre("END"));
  EXPECT_EQ(request.options.format.kind, ResponseFormat::Kind::JsonObject);
  ASSERT_EQ(request.options.sampling.logit_bias.size(), 1U);
}

TEST(CompletionBody, Prompts) {
  const auto prompts = [](std::string_view body) {
    std::vector<FieldError> errors;
    CompletionRequest request = parse_completion(object(body), kVocabulary, errors);
    return errors.empty() ? request.prompts.size() : 0;
  };
  EXPECT_EQ(prompts(R"({"prompt": "a"})"), 1U);
  EXPECT_EQ(prompts(R"({"prompt": ["a", "b"]})"), 2U);
  EXPECT_EQ(prompts(R"({"prompt": [1, 2, 3]})"), 1U);
  EXPECT_EQ(prompts(R"({"prompt": [[1, 2], [3]]})"), 2U);
  EXPECT_EQ(prompts(R"({"prompt": [1, 2000]})"), 0U) << "no such token";
  EXPECT_EQ(prompts(R"({"prompt": []})"), 0U);
  EXPECT_EQ(prompts(R"({"prompt": [true]})"), 0U);
  EXPECT_EQ(prompts(R"({})"), 0U);
}

TEST(CompletionBody, RefusesEchoAndSuffixClearly) {
  std::vector<FieldError> errors;
  (void)parse_completion(object(R"({"prompt": "a", "echo": true, "suffix": "z"})"), kVocabulary,
                         errors);
  EXPECT_THAT(paths(errors), ElementsAre("echo not_supported", "suffix not_supported"));
  EXPECT_THAT(errors[0].message, HasSubstr("not supported by this server"));
}

TEST(Sampling, RequestThenPresetThenApi) {
  SamplingOptions api;
  api.top_k = 10;
  const GenerationDefaults preset{.temperature = 0.2, .top_p = 0.9, .top_k = std::nullopt};
  SamplingFields fields;
  fields.temperature = 0.7;
  const SamplingOptions options = resolve(fields, preset, api);
  EXPECT_FLOAT_EQ(options.temperature, 0.7F);
  EXPECT_FLOAT_EQ(options.top_p, 0.9F);
  EXPECT_EQ(options.top_k, 10);
  fields.top_k = -1;
  EXPECT_EQ(resolve(fields, preset, api).top_k, 0) << "-1 means all, as in vLLM";
}

TEST(Errors, OpenAiForm) {
  const auto response =
      field_errors_response(ApiStyle::OpenAi, {{"top_p", "out_of_range", "too big"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(
      response.body,
      R"({"error":{"message":"top_p: too big","type":"invalid_request_error","param":"top_p","code":null}})");
}

TEST(Errors, FastApiForm) {
  const auto response = field_errors_response(
      ApiStyle::FastApi,
      {{"generate_kwargs.top_k", "int_type", "no"}, {"", "json_invalid", "bad"}});
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(
      response.body,
      R"({"detail":[{"type":"int_type","loc":["body","generate_kwargs","top_k"],"msg":"no"},{"type":"json_invalid","loc":["body"],"msg":"bad"}]})");
}

TEST(Errors, ThrottlingSaysWhenToComeBack) {
  const auto error = base::Error(base::ErrorCode::Throttled, "too many")
                         .with_retry_after(std::chrono::milliseconds(1500));
  const auto response = error_response(ApiStyle::OpenAi, error);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.get("Retry-After"), "2");
  EXPECT_THAT(response.body, HasSubstr("rate_limit_exceeded"));
}

}  // namespace
}  // namespace inference
