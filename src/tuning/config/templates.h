#pragma once

#include <string_view>

namespace tuning {

enum class Method { Lora, Qlora };

/// The text of config/tuning/lora.yaml or qlora.yaml: the training_config.yaml of a Workspace that
/// names none of its own.
std::string_view shipped_template(Method method);

}  // namespace tuning
