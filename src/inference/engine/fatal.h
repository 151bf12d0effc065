#pragma once

namespace inference {

/// llama.cpp ends the process when one of its own checks fails. `last_words` is called first, with
/// what failed in one line. For the whole process; from the program's start only.
void end_process_on_engine_failure(void (*last_words)(const char* message));

}  // namespace inference
