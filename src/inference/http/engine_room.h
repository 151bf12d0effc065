#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "inference/adapters/adapter_choices.h"
#include "inference/engine/model.h"
#include "inference/http/sampling_fields.h"
#include "inference/scheduler/scheduler.h"
#include "json/value.h"
#include "metrics/registry.h"
#include "net/http_server.h"

namespace inference {

/// What every API handler works with; all of it outlives the handlers and may be used by any
/// thread.
struct EngineRoom {
  const Model& model;
  Scheduler& scheduler;
  metrics::Registry& registry;
  base::Clock& clock;
  const AdapterChoices& choices;
  std::string version;
  GenerationDefaults preset;
};

/// Whose request this is, for taking turns: its API key, or else its address without the port.
std::string client_of(const net::HttpRequestHead& request);
/// The body as a JSON object. Errors: Invalid with http_status 415, 413, 408 or 400 (what is wrong
/// and where), Cancelled when the client vanished.
base::Result<json::Object> read_json_object(net::HttpExchange& exchange);
/// Errors: Invalid naming both counts when `prompt_tokens` leave no room for an answer.
base::Status check_prompt_size(const Scheduler& scheduler, std::size_t prompt_tokens);
/// The same for text that is too long whatever its tokens are: saves making them.
base::Status check_text_size(const EngineRoom& room, std::size_t text_bytes);

}  // namespace inference
