#pragma once

#include <filesystem>
#include <optional>
#include <utility>

#include "inference/adapters/adapter_manager.h"
#include "inference/scheduler/scheduler.h"
#include "model/gguf/gguf_file.h"

namespace inference {

/// Loads adapters into the running engine: all but the last copy happens on the caller's thread.
class EngineAdapterLoader final : public AdapterLoader {
 public:
  /// `model_file` is the model that `scheduler` serves.
  EngineAdapterLoader(std::filesystem::path model_file, Scheduler& scheduler)
      : model_file_(std::move(model_file)), scheduler_(scheduler) {}

  base::Result<LoadedAdapter> load(const base::Context& ctx,
                                   const std::filesystem::path& folder) override;
  void forget(const base::Context& ctx) override;

 private:
  std::filesystem::path model_file_;
  std::optional<model::GgufFile> base_;  ///< Opened for the first adapter.
  Scheduler& scheduler_;
};

}  // namespace inference
