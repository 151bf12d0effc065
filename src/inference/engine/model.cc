#include "inference/engine/model.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

/// Bytes that the tensors named in the file's header need, 0 when the header cannot be read.
std::uint64_t bytes_promised(const std::string& path) {
  gguf_init_params params{.no_alloc = true, .ctx = nullptr};
  gguf_context* file = gguf_init_from_file(path.c_str(), params);
  if (!file) return 0;
  std::uint64_t end = 0;
  for (std::int64_t i = 0; i < gguf_get_n_tensors(file); ++i)
    end = std::max<std::uint64_t>(end,
                                  gguf_get_tensor_offset(file, i) + gguf_get_tensor_size(file, i));
  end += gguf_get_data_offset(file);
  gguf_free(file);
  return end;
}

bool starts_with_magic(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) return false;
  char magic[4] = {};
  const bool match = std::fread(magic, 1, sizeof magic, file) == sizeof magic &&
                     std::string_view(magic, sizeof magic) == "GGUF";
  std::fclose(file);
  return match;
}

/// Why the loader gave up, in one line.
Error load_error(const std::string& path, std::uint64_t size, const std::string& reason) {
  if (!starts_with_magic(path)) {
    return Error(
        ErrorCode::Invalid,
        fmt::format("{} ({} bytes) is not a GGUF file: it does not begin with GGUF", path, size));
  }
  if (const std::uint64_t promised = bytes_promised(path); promised > size) {
    return Error(
        ErrorCode::Invalid,
        fmt::format("{} is truncated: its header promises {} bytes, the file has {}; fetch "
                    "the model again",
                    path, promised, size));
  }
  return Error(ErrorCode::Invalid,
               fmt::format("{} ({} bytes) cannot be loaded: {}; if the file was altered, fetch the "
                           "model again",
                           path, size, reason.empty() ? "unknown reason" : reason));
}

bool keep_loading(float /*progress*/, void* stop) {
  return !static_cast<const std::stop_token*>(stop)->stop_requested();
}

}  // namespace

Result<std::unique_ptr<Model>> Model::load(const std::stop_token& stop, Options options) {
  const std::string path = options.path.string();
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(options.path, error);
  if (error) return base::system_error(fmt::format("reading {}", path), error.value());

  static std::once_flag backend_started;
  std::call_once(backend_started, [] { llama_backend_init(); });
  std::unique_ptr<Model> model(new Model);
  model->log_capture_ = std::make_unique<model::LlamaLogCapture>(options.log);
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_MMAP;
  params.check_tensors = options.check_tensors;
  params.progress_callback = keep_loading;
  params.progress_callback_user_data = const_cast<std::stop_token*>(&stop);
  try {
    model->model_ = llama_model_load_from_file(path.c_str(), params);
  } catch (const std::exception& failure) {
    return load_error(path, size, failure.what());
  }
  if (!model->model_) {
    if (stop.stop_requested()) return Error(ErrorCode::Cancelled, "loading the model was stopped");
    return load_error(path, size, model->log_capture_->last_error());
  }
  model->vocabulary_ = llama_model_get_vocab(model->model_);
  if (llama_vocab_n_tokens(model->vocabulary_) == 0 || !llama_model_has_decoder(model->model_)) {
    return Error(ErrorCode::Invalid, fmt::format("{} holds no text generation model", path));
  }
  model->text_ = std::make_unique<model::Vocabulary>(model->vocabulary_);
  if (options.use_chat_template) TRY(model->load_template());
  return model;
}

Model::~Model() {
  if (model_) llama_model_free(model_);
}

base::Status Model::load_template() {
  const char* source = llama_model_chat_template(model_, nullptr);
  if (!source) return {};
  chat_template_ =
      TRY(model::ChatTemplate::parse(source, {.begin = text_->text_of(text_->begin_token()),
                                              .end = text_->text_of(text_->end_token())}));
  return {};
}

std::string Model::description() const {
  std::string text(128, '\0');
  const int length = llama_model_desc(model_, text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::clamp(length, 0, 127)));
  return text;
}

std::string Model::name() const {
  std::string text(256, '\0');
  const int length = llama_model_meta_val_str(model_, "general.name", text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::clamp(length, 0, 255)));
  return text;
}

std::uint64_t Model::weights_bytes() const { return llama_model_size(model_); }
std::uint64_t Model::parameters() const { return llama_model_n_params(model_); }
std::uint64_t Model::cache_bytes_per_token() const {
  const int heads = std::max(llama_model_n_head(model_), 1);
  const int head_size = llama_model_n_embd(model_) / heads;
  const int values = 2 * llama_model_n_layer(model_) * llama_model_n_head_kv(model_) * head_size;
  return static_cast<std::uint64_t>(values) * sizeof(std::uint16_t);
}

int Model::context_tokens() const { return llama_model_n_ctx_train(model_); }

Result<PromptText> Model::render_chat(std::span<const ChatMessage> messages) const {
  if (!chat_template_) return Error(ErrorCode::Invalid, "this model has no chat template");
  return chat_template_->render(messages);
}

}  // namespace inference
