#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/test_support.h"
#include "inference/engine/decoder.h"
#include "inference/engine/model.h"
#include "inference/scheduler/scheduler.h"
#include "metrics/registry.h"

/// Helpers of the module's tests; no program includes them.
namespace inference {

/// Models with random weights, written once for all tests of the program.
class TinyModels {
 public:
  static std::string file(const std::string& family) {
    static const TinyModels all;
    return (all.folder_.path() / (family + ".gguf")).string();
  }

 private:
  TinyModels() {
    for (const std::string family : {"phi3", "llama"}) {
      const std::string command =
          "python3 " KAITO_SOURCE_DIR "/tests/support/make_tiny_gguf.py --context 512 --family " +
          family + " --out " + (folder_.path() / (family + ".gguf")).string();
      EXPECT_EQ(std::system(command.c_str()), 0);
    }
  }
  base::test::TempDir folder_;
};

inline base::Result<std::unique_ptr<Model>> load(const std::string& path) {
  return Model::load({}, {.path = path});
}

/// A scheduler that the test steps, without a thread.
struct Bench {
  explicit Bench(const std::string& family, int cache_tokens = 512, int slots = 4,
                 int context_tokens = 256, std::size_t max_queue = 8)
      : model(*load(TinyModels::file(family))),
        decoder(*Decoder::create(*model, {.cache_tokens = cache_tokens,
                                          .sequences = slots,
                                          .batch_tokens = 64,
                                          .outputs = slots,
                                          .threads = 1})),
        metrics(registry, "tiny"),
        scheduler(
            {.context_tokens = context_tokens,
             .max_queue = max_queue,
             .prompt_tokens_beside_answers = 16},
            {.model = *model, .decoder = *decoder, .metrics = metrics, .clock = clock, .log = {}}) {
  }

  GenerationRequest greedy(std::string_view prompt, int tokens) const {
    GenerationRequest request;
    request.prompt = model->tokenize(prompt, Model::Special::Add);
    request.sampling.temperature = 0;
    request.max_new_tokens = tokens;
    request.ignore_end = true;
    return request;
  }
  void run() {
    for (int i = 0; i < 10'000 && scheduler.step(); ++i) {
    }
  }
  struct Outcome {
    std::vector<TokenId> tokens;
    std::optional<GenerationSummary> summary;
  };
  static Outcome read(Generation& generation) {
    Outcome outcome;
    while (auto chunk = generation.next({}, std::chrono::nanoseconds(0))) {
      for (const Choice& choice : chunk->tokens) outcome.tokens.push_back(choice.token);
      if (chunk->finished) outcome.summary = chunk->finished;
    }
    return outcome;
  }
  Outcome answer(GenerationRequest request) {
    auto generation = scheduler.submit(std::move(request));
    run();
    return read(**generation);
  }

  base::RealClock clock;
  metrics::Registry registry;
  std::unique_ptr<Model> model;
  std::unique_ptr<Decoder> decoder;
  ServingMetrics metrics;
  Scheduler scheduler;
};

}  // namespace inference
