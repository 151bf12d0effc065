#include "inference/engine/fatal.h"

#include <ggml.h>

namespace inference {

void end_process_on_engine_failure(void (*last_words)(const char* message)) {
  ggml_set_abort_callback(last_words);
}

}  // namespace inference
