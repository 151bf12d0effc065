#include "inference/scheduler/serving_metrics.h"

#include <vector>

namespace inference {
namespace {

using Buckets = std::vector<double>;

const Buckets kFirstToken{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
                          0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80};
const Buckets kPerToken{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5};
const Buckets kRequest{0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240};
const Buckets kTokens{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000};
const Buckets kIteration{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};

}  // namespace

ServingMetrics::ServingMetrics(metrics::Registry& r, const std::string& model_name)
    : requests_running(r.gauge("vllm:num_requests_running", "Requests being computed.",
                               {{"model_name", model_name}})),
      requests_waiting(r.gauge("vllm:num_requests_waiting", "Requests waiting for a slot.",
                               {{"model_name", model_name}})),
      cache_usage(r.gauge("vllm:kv_cache_usage_perc",
                          "Share of the key/value cache in use, 0 to 1.",
                          {{"model_name", model_name}})),
      cache_usage_old_name(r.gauge("vllm:gpu_cache_usage_perc",
                                   "The older name of vllm:kv_cache_usage_perc.",
                                   {{"model_name", model_name}})),
      preemptions(r.counter("vllm:num_preemptions_total",
                            "Requests put back because the cache was full.",
                            {{"model_name", model_name}})),
      prompt_tokens(r.counter("vllm:prompt_tokens_total", "Prompt tokens taken in.",
                              {{"model_name", model_name}})),
      generation_tokens(r.counter("vllm:generation_tokens_total", "Tokens generated.",
                                  {{"model_name", model_name}})),
      prefix_queries(r.counter("vllm:prefix_cache_queries_total",
                               "Prompt tokens looked up in the cache.",
                               {{"model_name", model_name}})),
      prefix_hits(r.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the cache.",
                            {{"model_name", model_name}})),
      finished_stop(r.counter("vllm:request_success_total", "Requests finished.",
                              {{"model_name", model_name}, {"finished_reason", "stop"}})),
      finished_length(r.counter("vllm:request_success_total", "Requests finished.",
                                {{"model_name", model_name}, {"finished_reason", "length"}})),
      finished_abort(r.counter("vllm:request_success_total", "Requests finished.",
                               {{"model_name", model_name}, {"finished_reason", "abort"}})),
      iteration_tokens(r.histogram("vllm:iteration_tokens_total", "Tokens of one batch.",
                                   kIteration, {{"model_name", model_name}})),
      time_to_first_token(r.histogram("vllm:time_to_first_token_seconds",
                                      "From arrival to the first token.", kFirstToken,
                                      {{"model_name", model_name}})),
      time_per_output_token(r.histogram("vllm:time_per_output_token_seconds",
                                        "Between tokens of one answer.", kPerToken,
                                        {{"model_name", model_name}})),
      request_latency(r.histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.",
                                  kRequest, {{"model_name", model_name}})),
      queue_time(r.histogram("vllm:request_queue_time_seconds", "Waiting for a slot.", kRequest,
                             {{"model_name", model_name}})),
      inference_time(r.histogram("vllm:request_inference_time_seconds", "In a slot.", kRequest,
                                 {{"model_name", model_name}})),
      prefill_time(r.histogram("vllm:request_prefill_time_seconds", "From slot to first token.",
                               kRequest, {{"model_name", model_name}})),
      decode_time(r.histogram("vllm:request_decode_time_seconds", "From first to last token.",
                              kRequest, {{"model_name", model_name}})),
      request_prompt_tokens(r.histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.",
                                        kTokens, {{"model_name", model_name}})),
      request_generation_tokens(r.histogram("vllm:request_generation_tokens",
                                            "Generated tokens of a request.", kTokens,
                                            {{"model_name", model_name}})),
      request_max_tokens(r.histogram("vllm:request_params_max_tokens",
                                     "Most tokens that a request asked for.", kTokens,
                                     {{"model_name", model_name}})),
      rejected(r.counter("kaito_ratelimit_rejected_total",
                         "Requests refused because the queue was full.")) {}

}  // namespace inference
