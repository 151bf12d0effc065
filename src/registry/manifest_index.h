#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/log.h"
#include "base/result.h"
#include "oci/layout.h"
#include "oci/manifest.h"

namespace registry {

/// A manifest that a repository holds, with what is asked about it often.
struct StoredManifest {
  oci::Descriptor descriptor;
  std::optional<oci::Digest> subject;
  std::vector<oci::Digest> children;  ///< Blobs and manifests it needs.
  oci::Annotations annotations;
};

/// Which repository has which tags and manifests: in memory, and in the layout's index.json, which
/// is written durably before a change is seen. Safe to use from many threads; changes are ordered.
///
/// A tag is an entry named `repository:tag`; a manifest without a tag is one named
/// `repository@sha256:...`. Entries with other names (made by other tools) are kept as they are.
class ManifestIndex {
 public:
  /// Reads the layout's index and every manifest it names. A manifest whose blob is missing or
  /// broken is left out, with a warning. Errors: as Layout::read_index.
  static base::Result<std::unique_ptr<ManifestIndex>> load(const oci::Layout& layout,
                                                           const base::Logger& log);

  /// By tag, or by the text of a digest.
  std::optional<StoredManifest> find(std::string_view repository, std::string_view target) const;
  bool has_repository(std::string_view repository) const;
  /// Sorted by code point.
  std::vector<std::string> tags(std::string_view repository) const;
  std::vector<std::string> repositories() const;
  std::vector<StoredManifest> referrers(std::string_view repository,
                                        const oci::Digest& subject) const;
  /// Every blob that some manifest needs, and the manifests themselves.
  std::set<oci::Digest> referenced() const;

  /// Adds the manifest, and moves `tag` to it when that is not empty. `ready` runs in the order of
  /// changes, before this one: its error ends the call (blobs cannot vanish after it was happy).
  base::Status put(const std::string& repository, const std::string& tag, StoredManifest manifest,
                   const std::function<base::Status()>& ready);
  /// Errors: NotFound.
  base::Status remove_tag(std::string_view repository, std::string_view tag);
  /// With all its tags. Errors: NotFound.
  base::Status remove_manifest(std::string_view repository, const oci::Digest& digest);
  /// Runs `work` while no change can happen.
  void exclusively(const std::function<void()>& work);

 private:
  struct Repository {
    std::map<oci::Digest, StoredManifest> manifests;
    std::map<std::string, oci::Digest, std::less<>> tags;
  };
  struct State {
    std::map<std::string, Repository, std::less<>> repositories;
    std::vector<oci::Descriptor> foreign;
  };

  explicit ManifestIndex(const oci::Layout& layout) : layout_(layout) {}
  base::Status change(const std::function<base::Status(State&)>& edit,
                      const std::function<base::Status()>& ready);
  static oci::Index encode(const State& state);
  void load_entry(const oci::Descriptor& entry, State& state, const base::Logger& log) const;

  const oci::Layout& layout_;
  base::Guarded<State> state_;
  struct WriteOrder {};
  base::Guarded<WriteOrder>
      writes_;  ///< Held while index.json is written, so that files follow the order of changes.
};

/// What a registry remembers of a manifest.
StoredManifest describe_manifest(const oci::RawManifest& raw, const oci::AnyManifest& decoded);

}  // namespace registry
