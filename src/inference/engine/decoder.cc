#include "inference/engine/decoder.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>

#include "base/assert.h"
#include "inference/engine/adapter_graveyard.h"
#include "inference/engine/matmul/matmul.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

/// How long a worker thread spins before it sleeps (0-100). Decoding has hundreds of short waits a
/// token; the default of ggml is kept because other values measured no better.
constexpr std::uint32_t kPollLevel = 50;

/// The pool in use, the one before, and the one that the thread tuner tries.
constexpr std::size_t kMaxPools = 3;

bool asked_to_abort(void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(); }

}  // namespace

Result<std::unique_ptr<Decoder>> Decoder::create(const Model& model, Options options) {
  std::unique_ptr<Decoder> decoder(new Decoder(model, options));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(options.cache_tokens);
  params.n_seq_max = static_cast<std::uint32_t>(options.sequences);
  params.n_batch = static_cast<std::uint32_t>(options.batch_tokens);
  params.n_ubatch = params.n_batch;
  params.n_outputs_max = static_cast<std::uint32_t>(options.outputs);
  params.n_threads = options.threads;
  params.n_threads_batch = options.threads;
  // One buffer for all sequences: prefixes are shared without copying, and any sequence may be
  // long.
  params.kv_unified = true;
  params.no_perf = true;
  params.abort_callback = asked_to_abort;
  params.abort_callback_data = &decoder->aborted_;
  try {
    decoder->context_ = llama_init_from_model(model.native(), params);
  } catch (const std::exception& failure) {
    return Error(ErrorCode::Internal, fmt::format("cannot set up the model: {}", failure.what()));
  }
  if (!decoder->context_) {
    return Error(
        ErrorCode::Internal,
        fmt::format("not enough memory for a cache of {} tokens; lower --ctx-size or --parallel",
                    options.cache_tokens));
  }
  if (!decoder->use_pool(options.threads))
    return Error(ErrorCode::Internal, "cannot start the compute threads");
  return decoder;
}

Decoder::Decoder(const Model& model, Options options)
    : options_(options),
      vocabulary_size_(model.vocabulary_size()),
      model_(model.native()),
      graveyard_(std::make_shared<AdapterGraveyard>()) {
  batch_ = std::make_unique<llama_batch>(llama_batch_init(options.batch_tokens, 0, 1));
}

Decoder::~Decoder() {
  if (context_) llama_free(context_);
  adapters_.reset();
  // Those that somebody still holds go with the model.
  free_adapters();
  for (const Pool& one : pools_) ggml_threadpool_free(one.pool);
  llama_batch_free(*batch_);
}

void Decoder::clear_batch() { batch_->n_tokens = 0; }

int Decoder::batch_size() const { return batch_->n_tokens; }

int Decoder::add(TokenId token, int position, SequenceId sequence, Logits logits) {
  const int place = batch_->n_tokens++;
  ASSERT(place < options_.batch_tokens);
  batch_->token[place] = token;
  batch_->pos[place] = position;
  batch_->n_seq_id[place] = 1;
  batch_->seq_id[place][0] = sequence;
  batch_->logits[place] = logits == Logits::Yes ? 1 : 0;
  return place;
}

Result<Decoder::Outcome> Decoder::decode() {
  int status = 0;
  try {
    status = llama_decode(context_, *batch_);
  } catch (const std::exception& failure) {
    return Error(ErrorCode::Internal, fmt::format("computing a batch failed: {}", failure.what()));
  }
  if (status == 0) return Outcome::Done;
  if (status == 1) return Outcome::CacheFull;
  if (status == 2) return Error(ErrorCode::Cancelled, "computing a batch was stopped");
  return Error(ErrorCode::Internal, fmt::format("computing a batch failed with status {}", status));
}

std::span<float> Decoder::logits(int place) {
  float* first = llama_get_logits_ith(context_, place);
  ASSERT(first != nullptr);
  return {first, static_cast<std::size_t>(vocabulary_size_)};
}

Result<std::shared_ptr<const Adapter>> Decoder::load_adapter(const AdapterFile& file) {
  free_adapters();
  // A descriptor of its own with a place of its own, so that loading twice works.
  const std::string path = fmt::format("/proc/self/fd/{}", file.descriptor());
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(path.c_str(), "rbe"),
                                                               &std::fclose);
  if (!stream) return base::system_error("reading the adapter", errno);
  llama_adapter_lora* native = nullptr;
  try {
    native = llama_adapter_lora_init_from_file_ptr(model_, stream.get());
  } catch (const std::exception& failure) {
    return Error(ErrorCode::Invalid, fmt::format("the engine refuses it: {}", failure.what()));
  }
  if (!native)
    return Error(ErrorCode::Invalid, "the engine refuses it; --log-level debug tells its reason");
  return std::make_shared<const Adapter>(native, graveyard_);
}

void Decoder::use_adapters(AdapterSetPointer adapters) {
  if (id_of(adapters) != id_of(adapters_)) {
    std::vector<llama_adapter_lora*> natives;
    std::vector<float> scales;
    if (adapters) {
      for (const AdapterSet::Member& member : adapters->members) {
        natives.push_back(member.adapter->native());
        scales.push_back(member.strength);
      }
    }
    llama_set_adapters_lora(context_, natives.data(), natives.size(), scales.data());
    adapters_ = std::move(adapters);
  }
  free_adapters();
}

void Decoder::free_adapters() {
  for (llama_adapter_lora* adapter : graveyard_->take()) llama_adapter_lora_free(adapter);
}

void Decoder::truncate(SequenceId sequence, int position) {
  // Removing a tail always succeeds for attention caches; a recurrent one may only drop everything,
  // and the scheduler then computes the prompt again.
  llama_memory_seq_rm(llama_get_memory(context_), sequence, position, -1);
}

void Decoder::share_prefix(SequenceId from, SequenceId to, int count) {
  llama_memory_seq_cp(llama_get_memory(context_), from, to, 0, count);
}

std::string_view Decoder::matmul_kernels() { return matmul_name(); }

bool Decoder::use_pool(int threads) {
  const auto known = std::find_if(pools_.begin(), pools_.end(),
                                  [&](const Pool& one) { return one.threads == threads; });
  if (known != pools_.end()) {
    std::rotate(known, known + 1, pools_.end());
  } else {
    // The pool of the last decode is put to sleep by the next one, so it is the last to go.
    if (pools_.size() == kMaxPools) {
      ggml_threadpool_free(pools_.front().pool);
      pools_.erase(pools_.begin());
    }
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.poll = kPollLevel;
    ggml_threadpool* pool = ggml_threadpool_new(&params);
    if (!pool) return false;
    pools_.push_back({threads, pool});
  }
  llama_attach_threadpool(context_, pools_.back().pool, pools_.back().pool);
  llama_set_n_threads(context_, threads, threads);
  return true;
}

void Decoder::set_threads(int threads) {
  const int bounded = std::clamp(threads, 1, options_.threads);
  // Without a new pool the old one goes on; it is only slower.
  if (pools_.back().threads != bounded) (void)use_pool(bounded);
}

}  // namespace inference
