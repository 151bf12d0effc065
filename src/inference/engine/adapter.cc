#include "inference/engine/adapter.h"

#include <sys/mman.h>

#include <cerrno>

#include "inference/engine/adapter_graveyard.h"

namespace inference {

base::Result<AdapterFile> AdapterFile::create(const model::GgufLora& lora) {
  base::UniqueFd file(::memfd_create("adapter", MFD_CLOEXEC));
  if (!file) return base::system_error("making room for an adapter", errno);
  TRY(base::with_context(model::write_lora(file.get(), lora), "making room for an adapter"));
  return AdapterFile(std::move(file));
}

Adapter::Adapter(llama_adapter_lora* native, std::shared_ptr<AdapterGraveyard> graveyard)
    : native_(native), graveyard_(std::move(graveyard)) {}

Adapter::~Adapter() { graveyard_->bury(native_); }

}  // namespace inference
