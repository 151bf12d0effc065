#include "tuning/engine/weight_source.h"

#include <fmt/format.h>

#include <cmath>

#include "base/file.h"
#include "json/value.h"
#include "model/safetensors/safetensors.h"
#include "tuning/engine/gguf_source.h"

namespace tuning {
namespace {

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

/// A folder with config.json and safetensors.
class FolderSource final : public WeightSource {
 public:
  FolderSource(Architecture architecture, model::Safetensors tensors)
      : architecture_(std::move(architecture)), tensors_(std::move(tensors)) {
    description_ = fmt::format("safetensors, {}", tensors_.tensors().empty()
                                                      ? "empty"
                                                      : name_of(tensors_.tensors()[0].info.type));
  }

  const Architecture& architecture() const override { return architecture_; }
  const std::string& description() const override { return description_; }
  bool has(std::string_view name) const override { return tensors_.find(name) != nullptr; }

  base::Result<std::vector<float>> read(std::string_view name, std::size_t rows,
                                        std::size_t columns) const override {
    const model::TensorView* tensor = TRY(tensors_.get(name));
    const std::vector<std::uint64_t> wanted = rows == 1 && tensor->info.shape.size() == 1
                                                  ? std::vector<std::uint64_t>{columns}
                                                  : std::vector<std::uint64_t>{rows, columns};
    if (tensor->info.shape != wanted) {
      return invalid(fmt::format("{}: {} where config.json means [{}]", name,
                                 tensor->info.description(), fmt::join(wanted, ", ")));
    }
    auto values = TRY(tensor->floats());
    TRY(check_finite(name, values));
    return values;
  }

 private:
  Architecture architecture_;
  model::Safetensors tensors_;
  std::string description_;
};

base::Result<std::unique_ptr<WeightSource>> open_folder(const std::filesystem::path& folder) {
  constexpr std::size_t kMaxConfigBytes = 1 << 20;
  const auto path = folder / "config.json";
  const std::string text =
      TRY(base::with_context(base::read_file(path, kMaxConfigBytes), path.string()));
  const json::Value config = TRY(base::with_context(json::parse(text), path.string()));
  Architecture architecture =
      TRY(base::with_context(architecture_from_config(config), path.string()));
  auto tensors = TRY(model::Safetensors::open(folder));
  // Some configurations leave the member out where the default of their family says tied.
  if (tensors.find("lm_head.weight") == nullptr) architecture.tied_head = true;
  return std::unique_ptr<WeightSource>(
      std::make_unique<FolderSource>(std::move(architecture), std::move(tensors)));
}

}  // namespace

base::Status check_finite(std::string_view name, const std::vector<float>& values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return invalid(fmt::format("{}: holds a value that is not a number", name));
    }
  }
  return {};
}

base::Result<std::unique_ptr<WeightSource>> open_weights(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return open_folder(path);
  return open_gguf(path);
}

}  // namespace tuning
