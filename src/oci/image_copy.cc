#include "oci/image_copy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <set>
#include <vector>

#include "oci/content_store.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

/// All that an image consists of: blobs, and manifests with the outermost last.
struct Parts {
  std::vector<Descriptor> blobs;
  std::vector<RawManifest> manifests;
  std::uint64_t bytes = 0;
};

class Collector {
 public:
  Collector(const base::Context& ctx, RegistryClient& client) : ctx_(ctx), client_(client) {}

  Status add(const Reference& ref, int depth) {
    if (depth > kMaxIndexDepth)
      return Error(ErrorCode::Invalid, fmt::format("{}: indexes are nested more than {} deep",
                                                   ref.text(), kMaxIndexDepth));
    RawManifest raw = TRY(client_.get_manifest(ctx_, ref));
    if (!seen_.insert(raw.digest).second) return {};
    const AnyManifest decoded = TRY(base::with_context(raw.decode(), ref.text()));
    const bool index = std::holds_alternative<Index>(decoded);
    for (const Descriptor& child : children_of(decoded)) {
      if (index) {
        TRY(add(ref.with_digest(child.digest), depth + 1));
      } else if (seen_.insert(child.digest).second) {
        parts_.bytes += child.bytes();
        parts_.blobs.push_back(child);
      }
    }
    if (seen_.size() > kMaxDescriptors)
      return Error(ErrorCode::Invalid,
                   fmt::format("{}: it has more than {} parts", ref.text(), kMaxDescriptors));
    parts_.manifests.push_back(std::move(raw));
    return {};
  }
  const Parts& parts() const { return parts_; }

 private:
  const base::Context& ctx_;
  RegistryClient& client_;
  std::set<Digest> seen_;
  Parts parts_;
};

/// Gets one blob to its new place; `report` takes its bytes, both ways counted half.
Status copy_blob(const base::Context& ctx, RegistryClient& client, const Reference& from,
                 const Reference& to, const Descriptor& blob, ContentStore& scratch,
                 const std::function<void(std::uint64_t)>& report) {
  if (TRY(client.has_blob(ctx, to, blob.digest))) return {};
  if (from.domain == to.domain && from.repository != to.repository) {
    const auto mounted = client.mount_blob(ctx, to, blob.digest, from.repository);
    if (mounted && *mounted) return {};
  }
  const auto fetch = [&](std::uint64_t offset, const ContentStore::Take& take) {
    return client.fetch_blob(ctx, from, blob, offset, take);
  };
  const auto file = TRY(
      scratch.ensure(ctx, blob, fetch, [&](const Progress& part) { report(part.done_bytes / 2); }));
  TRY(client.push_blob(ctx, to, blob, file, [&](const Progress& part) {
    report(blob.bytes() / 2 + part.done_bytes / 2);
  }));
  ::unlink(file.c_str());
  return {};
}

}  // namespace

base::Result<Descriptor> copy_image(const base::Context& ctx, RegistryClient& client,
                                    const Reference& from, const Reference& to,
                                    const std::filesystem::path& scratch,
                                    const ProgressCallback& progress) {
  Collector collector(ctx, client);
  TRY(collector.add(from, 0));
  const Parts& parts = collector.parts();
  ContentStore::Options options;
  options.root = scratch;
  ContentStore store = TRY(ContentStore::open(std::move(options)));
  std::uint64_t before = 0;
  for (const Descriptor& blob : parts.blobs) {
    TRY(copy_blob(ctx, client, from, to, blob, store, [&](std::uint64_t done) {
      if (progress) progress({before + done, parts.bytes});
    }));
    before += blob.bytes();
    if (progress) progress({before, parts.bytes});
  }
  for (const RawManifest& manifest : parts.manifests) {
    Reference target = to;
    if (&manifest != &parts.manifests.back()) {
      target.tag.clear();
      target.digest = manifest.digest;
    }
    TRY(client.put_manifest(ctx, target, manifest));
  }
  return parts.manifests.back().descriptor();
}

}  // namespace oci
