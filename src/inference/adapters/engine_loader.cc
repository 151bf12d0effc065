#include "inference/adapters/engine_loader.h"

#include "inference/engine/adapter.h"
#include "model/peft/lora_gguf.h"
#include "model/peft/peft_adapter.h"

namespace inference {

base::Result<LoadedAdapter> EngineAdapterLoader::load(const base::Context& ctx,
                                                      const std::filesystem::path& folder) {
  if (!base_) base_ = TRY(model::GgufFile::open(model_file_));
  LoadedAdapter loaded;
  // What is mapped or converted is given back before the answers are interrupted.
  const auto prepare = [&]() -> base::Result<AdapterFile> {
    const model::PeftAdapter adapter = TRY(model::PeftAdapter::open(folder));
    const model::GgufLora lora = TRY(model::fit_to_model(adapter, base_->header()));
    loaded.rank = lora.largest_rank;
    loaded.bytes = lora.bytes();
    return AdapterFile::create(lora);
  };
  const AdapterFile file = TRY(prepare());
  const auto placed = scheduler_.run_between_batches(ctx, [&](Decoder& decoder) -> base::Status {
    loaded.adapter = TRY(decoder.load_adapter(file));
    return {};
  });
  if (!placed) return placed.error();
  return loaded;
}

void EngineAdapterLoader::forget(const base::Context& ctx) {
  const auto done = scheduler_.run_between_batches(ctx, [](Decoder& decoder) -> base::Status {
    decoder.use_adapters(nullptr);
    return {};
  });
  if (!done)
    ctx.log().warn("an adapter's memory is given back later", {{"error", done.error().message()}});
}

}  // namespace inference
