#pragma once

#include <string>

#include "metrics/registry.h"

namespace inference {

/// The series that dashboards, autoscalers and benchmarks know from vLLM, under its names.
struct ServingMetrics {
  ServingMetrics(metrics::Registry& registry, const std::string& model_name);

  metrics::Gauge requests_running;
  metrics::Gauge requests_waiting;
  metrics::Gauge cache_usage;
  metrics::Gauge cache_usage_old_name;
  metrics::Counter preemptions;
  metrics::Counter prompt_tokens;
  metrics::Counter generation_tokens;
  metrics::Counter prefix_queries;
  metrics::Counter prefix_hits;
  metrics::Counter finished_stop;
  metrics::Counter finished_length;
  metrics::Counter finished_abort;
  metrics::Histogram iteration_tokens;
  metrics::Histogram time_to_first_token;
  metrics::Histogram time_per_output_token;
  metrics::Histogram request_latency;
  metrics::Histogram queue_time;
  metrics::Histogram inference_time;
  metrics::Histogram prefill_time;
  metrics::Histogram decode_time;
  metrics::Histogram request_prompt_tokens;
  metrics::Histogram request_generation_tokens;
  metrics::Histogram request_max_tokens;
  metrics::Counter rejected;
};

}  // namespace inference
