#include "oci/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <cerrno>

#include "base/encoding.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr std::size_t kReadBlockBytes = 256 << 10;

std::string text_or_empty(const char* text) { return text ? std::string(text) : std::string(); }

/// The name as UTF-8, whatever the process's locale is.
std::string path_of(archive_entry* entry) {
  const char* utf8 = ::archive_entry_pathname_utf8(entry);
  return text_or_empty(utf8 ? utf8 : ::archive_entry_pathname(entry));
}

std::string hard_link_of(archive_entry* entry) {
  const char* utf8 = ::archive_entry_hardlink_utf8(entry);
  return text_or_empty(utf8 ? utf8 : ::archive_entry_hardlink(entry));
}

std::string symbolic_link_of(archive_entry* entry) {
  const char* utf8 = ::archive_entry_symlink_utf8(entry);
  return text_or_empty(utf8 ? utf8 : ::archive_entry_symlink(entry));
}

}  // namespace

struct TarReader::State {
  archive* handle = ::archive_read_new();
  State() = default;
  ~State() { ::archive_read_free(handle); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

base::Result<TarReader> TarReader::open(const std::filesystem::path& file) {
  auto state = std::make_shared<State>();
  archive* handle = state->handle;
  ::archive_read_support_filter_gzip(handle);
  ::archive_read_support_filter_zstd(handle);
  ::archive_read_support_format_tar(handle);
  TarReader reader(std::move(state));
  if (::archive_read_open_filename(handle, file.c_str(), kReadBlockBytes) != ARCHIVE_OK)
    return reader.failure(::archive_errno(handle), "opening the archive");
  return reader;
}

Error TarReader::failure(int code, std::string_view what) const {
  const std::string why = text_or_empty(::archive_error_string(state_->handle));
  if (code == ENOENT || code == EACCES) return base::system_error(what, code);
  return Error(ErrorCode::Invalid, fmt::format("{}: {}", what, why.empty() ? "it is broken" : why));
}

Status TarReader::check_expansion() const {
  const auto expanded = static_cast<std::uint64_t>(::archive_filter_bytes(state_->handle, 0));
  const auto packed = consumed_bytes();
  if (expanded <= kExpansionFloorBytes || expanded / kMaxExpansion <= packed) return {};
  return Error(ErrorCode::Invalid,
               fmt::format("the archive grows to more than {} times its size", kMaxExpansion));
}

base::Result<bool> TarReader::next(const base::Context& ctx, TarEntry& entry) {
  TRY(ctx.check());
  archive_entry* raw = nullptr;
  const int code = ::archive_read_next_header(state_->handle, &raw);
  if (code == ARCHIVE_EOF) return false;
  if (code < ARCHIVE_WARN) return failure(0, "reading the archive");
  TRY(check_expansion());
  entry.path = path_of(raw);
  entry.link.clear();
  if (!base::is_utf8(entry.path))
    return Error(ErrorCode::Invalid, "the archive holds a name that is not UTF-8");
  entry.mode = ::archive_entry_perm(raw);
  entry.size = static_cast<std::uint64_t>(std::max<la_int64_t>(::archive_entry_size(raw), 0));
  entry.link = hard_link_of(raw);
  if (!entry.link.empty()) {
    entry.kind = TarEntryKind::HardLink;
    return true;
  }
  switch (::archive_entry_filetype(raw)) {
    case AE_IFREG:
      entry.kind = TarEntryKind::File;
      break;
    case AE_IFDIR:
      entry.kind = TarEntryKind::Folder;
      break;
    case AE_IFLNK:
      entry.kind = TarEntryKind::SymbolicLink;
      entry.link = symbolic_link_of(raw);
      break;
    default:
      entry.kind = TarEntryKind::Other;
  }
  return true;
}

Status TarReader::read(const base::Context& ctx, const Take& take) {
  for (;;) {
    TRY(ctx.check());
    const void* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int code = ::archive_read_data_block(state_->handle, &bytes, &size, &offset);
    if (code == ARCHIVE_EOF) return {};
    if (code < ARCHIVE_WARN) return failure(0, "reading the archive");
    TRY(check_expansion());
    if (size > 0)
      TRY(take(static_cast<std::uint64_t>(offset), {static_cast<const char*>(bytes), size}));
  }
}

Status TarReader::skip(const base::Context& ctx) {
  // A plain archive seeks; what is compressed has to be expanded in any case, and counted.
  if (::archive_filter_count(state_->handle) <= 1) {
    TRY(ctx.check());
    if (::archive_read_data_skip(state_->handle) < ARCHIVE_WARN)
      return failure(0, "reading the archive");
    return {};
  }
  return read(ctx, [](std::uint64_t, std::string_view) { return Status(); });
}

std::uint64_t TarReader::consumed_bytes() const {
  return static_cast<std::uint64_t>(::archive_filter_bytes(state_->handle, -1));
}

}  // namespace oci
