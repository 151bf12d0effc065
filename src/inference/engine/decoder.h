#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "inference/engine/adapter.h"
#include "inference/engine/model.h"
#include "inference/engine/types.h"

struct llama_context;
struct llama_model;
struct llama_batch;
struct ggml_threadpool;

namespace inference {

/// The key/value cache and the computation: takes a batch of tokens of several sequences, gives the
/// logits of the positions asked for. One thread at a time; that thread need not be the creator.
class Decoder {
 public:
  struct Options {
    int cache_tokens = 4096;  ///< Cells shared by all sequences.
    int sequences = 1;
    int batch_tokens = 512;  ///< Most tokens of one `decode`.
    int outputs = 32;        ///< Most positions with logits in one `decode`.
    int threads = 1;         ///< Most threads that are ever used.
  };
  /// Errors: Internal when there is not enough memory.
  static base::Result<std::unique_ptr<Decoder>> create(const Model& model, Options options);
  ~Decoder();

  const Options& options() const { return options_; }

  void clear_batch();
  enum class Logits { No, Yes };
  /// Puts a token on the batch; returns its place, for `logits`.
  int add(TokenId token, int position, SequenceId sequence, Logits logits);
  int batch_size() const;

  enum class Outcome { Done, CacheFull };
  /// Computes the batch. CacheFull: no room for it, nothing has changed. Errors: Internal;
  /// Cancelled after `abort` (what was computed of the batch is lost).
  base::Result<Outcome> decode();
  /// The logits of the token at `place` of the batch just computed; may be written to; valid until
  /// the next decode.
  std::span<float> logits(int place);

  /// Loads an adapter of this decoder's model; between two batches. Errors: Invalid when llama.cpp
  /// refuses it.
  base::Result<std::shared_ptr<const Adapter>> load_adapter(const AdapterFile& file);
  /// What all sequences of the next batches are computed with. The first batch after a change is
  /// slower, so batches with the same adapters should follow each other. What a sequence holds is
  /// of use with the adapters only that it was computed with.
  void use_adapters(AdapterSetPointer adapters);

  /// Forgets the tokens of `sequence` from `position` on.
  void truncate(SequenceId sequence, int position);
  /// Lets `to` share the first `count` tokens of `from`; `to` must be empty.
  void share_prefix(SequenceId from, SequenceId to, int count);
  /// Takes effect at the next decode; between 1 and `Options::threads`.
  void set_threads(int threads);
  /// What computes the matrix products, for the log.
  static std::string_view matmul_kernels();
  /// Makes a running and all later `decode` return Cancelled; any thread.
  void abort() { aborted_ = true; }

 private:
  Decoder(const Model& model, Options options);
  bool use_pool(int threads);
  void free_adapters();

  Options options_;
  int vocabulary_size_;
  llama_model* model_;
  std::shared_ptr<AdapterGraveyard> graveyard_;
  AdapterSetPointer adapters_;  ///< In use; keeps its members loaded.
  llama_context* context_ = nullptr;
  /// Pools by their number of threads: a pool that is not in use sleeps, while a thread of the one
  /// in use that gets no work would spin and take a core from others.
  struct Pool {
    int threads;
    ggml_threadpool* pool;
  };
  std::vector<Pool> pools_;  ///< The one in use last.
  std::unique_ptr<llama_batch> batch_;
  std::atomic<bool> aborted_{false};
};

}  // namespace inference
