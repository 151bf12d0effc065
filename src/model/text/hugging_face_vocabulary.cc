#include "model/text/hugging_face_vocabulary.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <span>

#include "base/file.h"
#include "model/convert/tokenizer.h"
#include "model/gguf/gguf_writer.h"

namespace model {

base::Result<std::unique_ptr<Vocabulary>> load_hugging_face_vocabulary(
    const std::filesystem::path& folder, std::uint64_t vocabulary_size, const base::Logger& log) {
  const TokenizerModel tokenizer = TRY(read_tokenizer(folder, vocabulary_size));
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  write_tokenizer(tokenizer, writer);
  // llama.cpp reads files; this one is never on a disk.
  const base::UniqueFd file(::memfd_create("vocabulary", MFD_CLOEXEC));
  if (!file) return base::system_error("making a file in memory", errno);
  TRY(writer.write(file.get(), [](std::size_t) -> base::Result<std::span<const std::byte>> {
    return std::span<const std::byte>();
  }));
  return base::with_context(Vocabulary::load(fmt::format("/proc/self/fd/{}", file.get()), log),
                            (folder / "tokenizer.json").string());
}

}  // namespace model
