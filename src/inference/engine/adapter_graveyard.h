#pragma once

#include <utility>
#include <vector>

#include "base/guarded.h"

struct llama_adapter_lora;

namespace inference {

/// Adapters to be freed. Filled by any thread, emptied by the decoder's: freeing changes the model,
/// which a running decode looks at.
class AdapterGraveyard {
 public:
  void bury(llama_adapter_lora* adapter) {
    dead_.with([&](auto& dead) { dead.push_back(adapter); });
  }
  std::vector<llama_adapter_lora*> take() {
    return dead_.with([](auto& dead) { return std::exchange(dead, {}); });
  }

 private:
  base::Guarded<std::vector<llama_adapter_lora*>> dead_;
};

}  // namespace inference
