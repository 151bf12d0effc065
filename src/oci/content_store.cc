#include "oci/content_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/file.h"
#include "base/sha256.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kPartialMode = 0644;

std::uint64_t size_or_zero(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

/// A partial file held by this caller alone.
class Partial {
 public:
  static base::Result<Partial> lock(const base::Context& ctx, const std::filesystem::path& path,
                                    const std::function<bool()>& done,
                                    const std::function<void(std::uint64_t)>& waiting);

  bool held() const { return static_cast<bool>(file_); }
  int fd() const { return file_.get(); }
  std::uint64_t size() const { return size_; }
  Status restart();
  /// Hashes what is here already, so that a resumed download is verified as a whole.
  Status hash_existing(const base::Context& ctx);
  Status append(std::string_view bytes);
  std::string finish_hash() { return hash_.finish_hex(); }

 private:
  base::UniqueFd file_;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  std::uint64_t written_back_ = 0;
  base::Sha256 hash_;
};

/// Opens and locks the partial file; returns one that is not held when `done` turns true first.
base::Result<Partial> Partial::lock(const base::Context& ctx, const std::filesystem::path& path,
                                    const std::function<bool()>& done,
                                    const std::function<void(std::uint64_t)>& waiting) {
  for (;;) {
    if (done()) return Partial();
    base::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kPartialMode));
    if (!file) return file_error(fmt::format("creating {}", path.string()), errno);
    while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR)
        return base::system_error(fmt::format("locking {}", path.string()), errno);
      waiting(size_or_zero(path));
      TRY(ctx.sleep(kLockPoll));
    }
    // While we waited the file may have become the blob, or been deleted: then this lock is of no
    // use.
    struct stat held{};
    struct stat named{};
    if (::fstat(file.get(), &held) != 0)
      return base::system_error(fmt::format("reading {}", path.string()), errno);
    if (::stat(path.c_str(), &named) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev)
      continue;
    if (done()) {
      ::unlink(path.c_str());  // We made it anew after the blob was there.
      return Partial();
    }
    Partial partial;
    partial.file_ = std::move(file);
    partial.path_ = path;
    partial.size_ = static_cast<std::uint64_t>(held.st_size);
    return partial;
  }
}

Status Partial::restart() {
  if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) < 0) {
    return file_error(fmt::format("emptying {}", path_.string()), errno);
  }
  size_ = 0;
  hash_ = base::Sha256();
  return {};
}

Status Partial::hash_existing(const base::Context& ctx) {
  std::vector<char> buffer(kCopyBufferBytes);
  std::uint64_t read_bytes = 0;
  while (read_bytes < size_) {
    TRY(ctx.check());
    const auto got =
        ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(read_bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return base::system_error(fmt::format("reading {}", path_.string()), errno);
    hash_.update({buffer.data(), static_cast<std::size_t>(got)});
    read_bytes += static_cast<std::uint64_t>(got);
  }
  if (::lseek(file_.get(), 0, SEEK_END) < 0)
    return base::system_error(fmt::format("reading {}", path_.string()), errno);
  return {};
}

Status Partial::append(std::string_view bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const auto written = ::write(file_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      // What was written of `bytes` is hashed too: the caller may go on from here.
      const int number = errno;
      hash_.update(bytes.substr(0, bytes.size() - rest.size()));
      return file_error(fmt::format("writing {}", path_.string()), number);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  hash_.update(bytes);
  if (size_ - written_back_ >= kWritebackBytes) {
    ::sync_file_range(file_.get(), static_cast<off_t>(written_back_),
                      static_cast<off_t>(size_ - written_back_), SYNC_FILE_RANGE_WRITE);
    written_back_ = size_;
  }
  return {};
}

}  // namespace

base::Result<ContentStore> ContentStore::open(Options options) {
  TRY(make_directories(options.root / "blobs" / "sha256"));
  if (!options.available_bytes)
    options.available_bytes = [](const auto& path) { return available_bytes(path); };
  return ContentStore(std::move(options));
}

std::filesystem::path ContentStore::path_of(const Digest& digest) const {
  return options_.root / "blobs" / "sha256" / digest.hex();
}

std::filesystem::path ContentStore::partial_of(const Digest& digest) const {
  auto path = path_of(digest);
  path += ".partial";
  return path;
}

bool ContentStore::contains(const Descriptor& blob) const {
  struct stat info{};
  return ::stat(path_of(blob.digest).c_str(), &info) == 0 &&
         static_cast<std::uint64_t>(info.st_size) == blob.bytes();
}

std::uint64_t ContentStore::missing_bytes(const Descriptor& blob) const {
  if (contains(blob)) return 0;
  const std::uint64_t have = size_or_zero(partial_of(blob.digest));
  return have > blob.bytes() ? blob.bytes() : blob.bytes() - have;
}

Status ContentStore::check_space(std::uint64_t bytes) const {
  if (bytes == 0) return {};
  const std::uint64_t available = TRY(options_.available_bytes(options_.root));
  if (bytes + kDiskReserveBytes > available)
    return disk_full(options_.root.string(), {bytes + kDiskReserveBytes, available});
  return {};
}

base::Result<std::filesystem::path> ContentStore::ensure(const base::Context& ctx,
                                                         const Descriptor& blob, const Fetch& fetch,
                                                         const ProgressCallback& progress) {
  const auto report = [&](std::uint64_t done) {
    if (progress) progress({std::min(done, blob.bytes()), blob.bytes()});
  };
  const auto target = path_of(blob.digest);
  const auto temporary = partial_of(blob.digest);
  Partial partial = TRY(Partial::lock(ctx, temporary, [&] { return contains(blob); }, report));
  if (!partial.held()) {
    ::utimensat(AT_FDCWD, target.c_str(), nullptr, 0);  // `collect` goes by the last use.
    report(blob.bytes());
    return target;
  }
  if (partial.size() > blob.bytes()) TRY(partial.restart());
  TRY(check_space(blob.bytes() - partial.size()));
  TRY(partial.hash_existing(ctx));
  report(partial.size());
  if (partial.size() < blob.bytes()) {
    const Take take = [&](std::string_view bytes) -> Status {
      TRY(partial.append(bytes));
      report(partial.size());
      return {};
    };
    TRY(fetch(partial.size(), take));
  }
  if (partial.size() != blob.bytes()) {
    return Error(ErrorCode::Unavailable,
                 fmt::format("blob {} ended after {} of {} bytes", blob.digest.text(),
                             partial.size(), blob.size));
  }
  if (const std::string found = partial.finish_hash(); found != blob.digest.hex()) {
    ::unlink(temporary.c_str());
    return digest_mismatch(fmt::format("the downloaded bytes have digest sha256:{}, expected {}",
                                       found, blob.digest.text()));
  }
  TRY(publish(partial.fd(), temporary, target, options_.durability));
  return target;
}

}  // namespace oci
