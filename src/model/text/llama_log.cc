#include "model/text/llama_log.h"

#include <llama.h>

#include <string_view>
#include <utility>

#include "base/guarded.h"

namespace model {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

/// `llama_model_load: error loading model: x` -> `x`.
std::string_view reason(std::string_view line) {
  for (const std::string_view prefix : {"error loading model: ", "failed to load model: "}) {
    if (const auto at = line.find(prefix); at != std::string_view::npos)
      return line.substr(at + prefix.size());
  }
  return line;
}

void discard(ggml_log_level, const char*, void*) {}

}  // namespace

struct LlamaLogCapture::State {
  explicit State(base::Logger sink) : log(std::move(sink)) {}
  base::Logger log;
  base::Guarded<std::string> last_error;
};

namespace {

void receive(ggml_log_level level, const char* text, void* user) {
  auto& state = *static_cast<LlamaLogCapture::State*>(user);
  const std::string_view line = trim(text);
  if (line.empty() || level == GGML_LOG_LEVEL_CONT) return;
  if (level == GGML_LOG_LEVEL_ERROR) {
    state.last_error.with([&](std::string& last) {
      // The loader reports the cause first and then that it failed: keep the cause.
      const std::string_view why = reason(line);
      if (why.find("failed to load model") == std::string_view::npos) last = why;
    });
  }
  state.log.debug("llama.cpp", {{"line", line}});
}

}  // namespace

LlamaLogCapture::LlamaLogCapture(base::Logger log) : state_(new State(std::move(log))) {
  llama_log_set(receive, state_);
}

LlamaLogCapture::~LlamaLogCapture() {
  llama_log_set(discard, nullptr);
  delete state_;
}

std::string LlamaLogCapture::last_error() const {
  return state_->last_error.with([](const std::string& last) { return last; });
}

}  // namespace model
