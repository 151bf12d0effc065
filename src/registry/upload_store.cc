#include "registry/upload_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "registry/limits.h"

namespace registry {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kUploadMode = 0600;
constexpr std::size_t kUuidLength = 36;

bool is_upload_id(std::string_view id) {
  return id.size() == kUuidLength && std::ranges::all_of(id, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-';
         });
}

Status hash_file(int fd, base::Sha256& hash, std::uint64_t& size) {
  std::vector<char> buffer(kCopyBufferBytes);
  for (;;) {
    const auto got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error("reading an upload", errno);
    if (got == 0) return {};
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    size += static_cast<std::uint64_t>(got);
  }
}

Error held_elsewhere() {
  return Error(ErrorCode::Conflict, "the upload is in use by another request");
}

}  // namespace

base::Result<std::unique_ptr<UploadStore>> UploadStore::create(const oci::Layout& layout) {
  TRY(oci::make_directories(layout.root() / "uploads"));
  return std::unique_ptr<UploadStore>(new UploadStore(layout));
}

std::filesystem::path UploadStore::path_of(std::string_view id) const {
  return layout_.root() / "uploads" / id;
}

base::Result<UploadStore::Lease> UploadStore::begin() {
  auto upload = std::make_unique<Upload>();
  upload->id = base::random_uuid();
  const bool room = uploads_.with([&](auto& uploads) {
    if (uploads.size() >= kMaxUploads) return false;
    uploads.emplace(upload->id, nullptr);
    return true;
  });
  if (!room)
    return Error(ErrorCode::Throttled, fmt::format("more than {} uploads are open", kMaxUploads));
  const auto path = path_of(upload->id);
  upload->file =
      base::UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kUploadMode));
  if (!upload->file) {
    const Error error = oci::file_error(fmt::format("creating {}", path.string()), errno);
    forget(upload->id);
    return error;
  }
  return Lease(*this, std::move(upload));
}

base::Result<UploadStore::Lease> UploadStore::resume(std::string_view id) {
  if (!is_upload_id(id)) return Error(ErrorCode::NotFound, "upload unknown");
  bool known = false;
  auto upload = uploads_.with([&](auto& uploads) -> std::unique_ptr<Upload> {
    const auto [entry, fresh] = uploads.try_emplace(std::string(id), nullptr);
    known = !fresh;
    return std::move(entry->second);
  });
  if (upload) return Lease(*this, std::move(upload));
  if (known) return held_elsewhere();
  // Not in memory: perhaps from before a restart. This call holds the id meanwhile.
  upload = std::make_unique<Upload>();
  upload->id = id;
  upload->file = base::UniqueFd(::open(path_of(id).c_str(), O_RDWR | O_CLOEXEC));
  Status hashed = upload->file ? hash_file(upload->file.get(), upload->hash, upload->size)
                               : Status(Error(ErrorCode::NotFound, "upload unknown"));
  if (!hashed) {
    forget(upload->id);
    return std::move(hashed).error();
  }
  return Lease(*this, std::move(upload));
}

void UploadStore::give_back(std::unique_ptr<Upload> upload) {
  uploads_.with([&](auto& uploads) { uploads[upload->id] = std::move(upload); });
}

void UploadStore::forget(const std::string& id) {
  uploads_.with([&](auto& uploads) { uploads.erase(id); });
}

void UploadStore::expire(std::chrono::seconds life) {
  const auto limit = std::filesystem::file_time_type::clock::now() - life;
  std::vector<std::filesystem::path> old;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(layout_.root() / "uploads", error), end;
       !error && entry != end; entry.increment(error)) {
    std::error_code stat_error;
    const auto touched = entry->last_write_time(stat_error);
    if (!stat_error && touched <= limit) old.push_back(entry->path());
  }
  for (const auto& path : old) {
    const std::string id = path.filename().string();
    auto lease = resume(id);
    if (lease) {
      lease->remove();
    } else if (lease.error().code() == ErrorCode::NotFound) {
      std::filesystem::remove(path, error);  // Not an upload at all.
    }
  }
}

UploadStore::Lease::~Lease() { release(); }

void UploadStore::Lease::release() {
  if (upload_) store_->give_back(std::move(upload_));
}

Status UploadStore::Lease::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(upload_->file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return oci::file_error("storing an upload", errno);
    const auto count = static_cast<std::size_t>(written);
    upload_->hash.update(bytes.substr(0, count));
    upload_->size += count;
    bytes.remove_prefix(count);
  }
  return {};
}

Status UploadStore::Lease::finish(const oci::Digest& digest) {
  const auto path = store_->path_of(upload_->id);
  Status result;
  if (const std::string found = upload_->hash.finish_hex(); found != digest.hex()) {
    result = oci::digest_mismatch(fmt::format("the uploaded bytes have digest sha256:{}", found));
  } else if (const auto size = store_->layout_.blob_size(digest); !size || *size != upload_->size) {
    result = oci::publish(upload_->file.get(), path, store_->layout_.blob_path(digest));
  }
  ::unlink(path.c_str());  // A published file has no such name any more.
  store_->forget(upload_->id);
  upload_.reset();
  return result;
}

void UploadStore::Lease::remove() {
  ::unlink(store_->path_of(upload_->id).c_str());
  store_->forget(upload_->id);
  upload_.reset();
}

}  // namespace registry
