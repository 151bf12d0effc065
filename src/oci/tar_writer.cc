#include "oci/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/file.h"
#include "base/sha256.h"
#include "oci/failure.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kFolderMode = 0755;
constexpr mode_t kFileMode = 0644;
/// Weights hardly compress at any level, so the fastest one is right.
constexpr const char* kGzipOptions = "gzip:compression-level=1,gzip:!timestamp";
constexpr const char* kZstdOptions = "zstd:compression-level=1";

struct EntryDeleter {
  void operator()(archive_entry* entry) const { ::archive_entry_free(entry); }
};
using Entry = std::unique_ptr<archive_entry, EntryDeleter>;

}  // namespace

/// Two archives in a row: the first makes tar, the second compresses it as one raw file.
struct TarWriter::State {
  archive* tar = ::archive_write_new();
  archive* packer = ::archive_write_new();
  int fd = -1;
  int error_number = 0;
  base::Sha256 plain;
  base::Sha256 packed;
  std::uint64_t packed_bytes = 0;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    // Freeing closes, which writes: the first before the second.
    ::archive_write_free(tar);
    ::archive_write_free(packer);
  }

  static la_ssize_t take_tar(archive*, void* data, const void* bytes, size_t size) {
    auto& state = *static_cast<State*>(data);
    state.plain.update({static_cast<const char*>(bytes), size});
    return ::archive_write_data(state.packer, bytes, size);
  }
  static la_ssize_t take_packed(archive*, void* data, const void* bytes, size_t size) {
    auto& state = *static_cast<State*>(data);
    const std::string_view text(static_cast<const char*>(bytes), size);
    state.packed.update(text);
    state.packed_bytes += size;
    for (std::string_view rest = text; !rest.empty();) {
      const auto written = ::write(state.fd, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        state.error_number = errno;
        return -1;
      }
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    return static_cast<la_ssize_t>(size);
  }

  Error failure(std::string_view what) const {
    if (error_number != 0) return file_error(what, error_number);
    const char* why = ::archive_error_string(tar);
    return Error(ErrorCode::Internal, fmt::format("{}: {}", what, why ? why : "failed"));
  }
};

base::Result<TarWriter> TarWriter::create(int fd, Compression compression) {
  auto state = std::make_shared<State>();
  state->fd = fd;
  archive* packer = state->packer;
  ::archive_write_set_format_raw(packer);
  ::archive_write_set_bytes_in_last_block(packer, 1);
  if (compression == Compression::Gzip) {
    ::archive_write_add_filter_gzip(packer);
    ::archive_write_set_options(packer, kGzipOptions);
  } else if (compression == Compression::Zstd) {
    ::archive_write_add_filter_zstd(packer);
    ::archive_write_set_options(packer, kZstdOptions);
  }
  const Entry whole(::archive_entry_new());
  ::archive_entry_set_filetype(whole.get(), AE_IFREG);
  ::archive_entry_set_pathname(whole.get(), "layer.tar");
  if (::archive_write_open(packer, state.get(), nullptr, State::take_packed, nullptr) !=
          ARCHIVE_OK ||
      ::archive_write_header(packer, whole.get()) != ARCHIVE_OK)
    return state->failure("starting the archive");
  ::archive_write_set_format_pax_restricted(state->tar);
  ::archive_write_set_options(state->tar, "hdrcharset=BINARY");
  if (::archive_write_open(state->tar, state.get(), nullptr, State::take_tar, nullptr) !=
      ARCHIVE_OK)
    return state->failure("starting the archive");
  return TarWriter(std::move(state));
}

Status TarWriter::add_folder(const std::string& path) {
  const Entry entry(::archive_entry_new());
  ::archive_entry_set_pathname(entry.get(), (path + "/").c_str());
  ::archive_entry_set_filetype(entry.get(), AE_IFDIR);
  ::archive_entry_set_perm(entry.get(), kFolderMode);
  ::archive_entry_set_mtime(entry.get(), 0, 0);
  if (::archive_write_header(state_->tar, entry.get()) != ARCHIVE_OK)
    return state_->failure(fmt::format("packing {}", path));
  return {};
}

Status TarWriter::add_file(const base::Context& ctx, const std::string& path,
                           const std::filesystem::path& file,
                           const std::function<void(std::uint64_t)>& report) {
  const std::string what = fmt::format("packing {}", file.string());
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return base::system_error(what, errno);
  if (!S_ISREG(info.st_mode))
    return Error(ErrorCode::Invalid, fmt::format("{} is not a plain file", file.string()));
  const Entry entry(::archive_entry_new());
  ::archive_entry_set_pathname(entry.get(), path.c_str());
  ::archive_entry_set_filetype(entry.get(), AE_IFREG);
  ::archive_entry_set_perm(entry.get(), kFileMode);
  ::archive_entry_set_mtime(entry.get(), 0, 0);
  ::archive_entry_set_size(entry.get(), info.st_size);
  if (::archive_write_header(state_->tar, entry.get()) != ARCHIVE_OK) return state_->failure(what);
  std::vector<char> buffer(kCopyBufferBytes);
  std::uint64_t done = 0;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  while (done < size) {
    TRY(ctx.check());
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error(what, errno);
    if (got == 0)
      return Error(ErrorCode::Invalid, fmt::format("{}: the file became shorter", what));
    const auto part = std::min<std::uint64_t>(static_cast<std::uint64_t>(got), size - done);
    if (::archive_write_data(state_->tar, buffer.data(), part) != static_cast<la_ssize_t>(part))
      return state_->failure(what);
    done += part;
    if (report) report(done);
  }
  return {};
}

base::Result<TarWriter::Written> TarWriter::finish() {
  if (::archive_write_close(state_->tar) != ARCHIVE_OK ||
      ::archive_write_close(state_->packer) != ARCHIVE_OK)
    return state_->failure("ending the archive");
  Written written;
  written.plain = TRY(Digest::from_hex(state_->plain.finish_hex()));
  written.packed = TRY(Digest::from_hex(state_->packed.finish_hex()));
  written.packed_bytes = state_->packed_bytes;
  return written;
}

}  // namespace oci
