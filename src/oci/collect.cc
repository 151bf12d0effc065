#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "oci/content_store.h"
#include "oci/failure.h"
#include "oci/limits.h"

/// What removes blobs of the node's store; content_store.cc is what adds them.
namespace oci {

using base::Status;

namespace {

constexpr const char* kHoldFile = "in-use.lock";
constexpr mode_t kHoldMode = 0666;

struct Found {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::chrono::seconds unused{};
  bool partial = false;
  bool linked = false;
  ino_t inode = 0;
};

/// Inodes that processes have mapped, as far as this one may see; of any file system, so that a
/// blob is rather kept than taken.
std::set<ino_t> mapped_inodes() {
  std::set<ino_t> inodes;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.empty() || name.front() < '0' || name.front() > '9') continue;
    std::ifstream maps(entry->path() / "maps");
    for (std::string line; std::getline(maps, line);) {
      // ADDRESS PERMISSIONS OFFSET DEVICE INODE PATH
      std::istringstream fields(line);
      std::string skipped;
      ino_t inode = 0;
      if (fields >> skipped >> skipped >> skipped >> skipped >> inode && inode != 0)
        inodes.insert(inode);
    }
  }
  return inodes;
}

base::Result<base::UniqueFd> take_hold(const base::Context& ctx, const std::filesystem::path& path,
                                       int operation) {
  base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, kHoldMode));
  if (!file) return file_error(fmt::format("creating {}", path.string()), errno);
  while (::flock(file.get(), operation | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return base::system_error(fmt::format("locking {}", path.string()), errno);
    TRY(ctx.sleep(kLockPoll));
  }
  return file;
}

base::Result<std::vector<Found>> list_store(const std::filesystem::path& folder) {
  std::vector<Found> all;
  std::error_code error;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat info{};
    if (::lstat(entry->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    Found found;
    found.path = entry->path();
    found.bytes = static_cast<std::uint64_t>(info.st_size);
    found.unused = std::chrono::duration_cast<std::chrono::seconds>(now) -
                   std::chrono::seconds(info.st_mtim.tv_sec);
    found.partial = found.path.extension() == ".partial";
    found.linked = info.st_nlink > 1;
    found.inode = info.st_ino;
    all.push_back(std::move(found));
  }
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  std::ranges::sort(all, std::greater<>(), &Found::unused);
  return all;
}

/// Removes the file unless somebody holds it; whether it is gone.
bool remove_unless_held(const Found& found, bool dry_run) {
  const base::UniqueFd file(::open(found.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return false;
  return dry_run || ::unlink(found.path.c_str()) == 0;
}

}  // namespace

base::Result<base::UniqueFd> ContentStore::hold(const base::Context& ctx) const {
  return take_hold(ctx, options_.root / kHoldFile, LOCK_SH);
}

base::Result<ContentStore::Collected> ContentStore::collect(const base::Context& ctx,
                                                            const CollectOptions& options) const {
  const base::UniqueFd exclusive = TRY(take_hold(ctx, options_.root / kHoldFile, LOCK_EX));
  const auto found = TRY(list_store(options_.root / "blobs" / "sha256"));
  const std::set<ino_t> mapped = mapped_inodes();
  Collected collected;
  for (const Found& blob : found) {
    ++collected.kept;
    collected.kept_bytes += blob.bytes;
  }
  for (const Found& blob : found) {
    TRY(ctx.check());
    const bool aged = options.max_age.count() > 0 && blob.unused >= options.max_age;
    const bool over = options.max_bytes > 0 && collected.kept_bytes > options.max_bytes;
    const bool wanted = blob.partial ? blob.unused >= options.partial_age : aged || over;
    if (!wanted || blob.linked || mapped.contains(blob.inode) || blob.unused < options.min_age)
      continue;
    if (!remove_unless_held(blob, options.dry_run)) continue;
    ++collected.removed;
    collected.removed_bytes += blob.bytes;
    --collected.kept;
    collected.kept_bytes -= blob.bytes;
  }
  return collected;
}

}  // namespace oci
