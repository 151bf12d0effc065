// training_config.yaml: any text gives values and mistakes, never a crash.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tuning/config/training_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)tuning::parse_training_config({reinterpret_cast<const char*>(data), size});
  return 0;
}
