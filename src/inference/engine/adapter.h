#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "model/peft/lora_gguf.h"

struct llama_adapter_lora;

namespace inference {

/// An adapter on its way into a decoder, in memory of its own. Any thread.
class AdapterFile {
 public:
  /// Errors: Internal when there is no memory for it.
  static base::Result<AdapterFile> create(const model::GgufLora& lora);
  int descriptor() const { return file_.get(); }

 private:
  explicit AdapterFile(base::UniqueFd file) : file_(std::move(file)) {}
  base::UniqueFd file_;
};

/// What is left of adapters that nobody uses any more, until the decoder's thread frees it.
class AdapterGraveyard;

/// A low-rank adapter loaded beside a model. May be let go by any thread; the decoder that loaded
/// it frees its memory between two batches.
class Adapter {
 public:
  Adapter(llama_adapter_lora* native, std::shared_ptr<AdapterGraveyard> graveyard);
  ~Adapter();
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  llama_adapter_lora* native() const { return native_; }

 private:
  llama_adapter_lora* native_;
  std::shared_ptr<AdapterGraveyard> graveyard_;
};

/// What is added to the base model for an answer: the sum of all members at their strengths.
/// Immutable; null stands for the base alone.
struct AdapterSet {
  struct Member {
    std::shared_ptr<const Adapter> adapter;
    float strength = 1;
    bool operator==(const Member&) const = default;
  };
  /// Not 0, and of no other set in the life of the process: cached tokens are kept by it.
  std::uint64_t id = 0;
  std::vector<Member> members;
};
using AdapterSetPointer = std::shared_ptr<const AdapterSet>;

inline std::uint64_t id_of(const AdapterSetPointer& set) { return set ? set->id : 0; }

}  // namespace inference
