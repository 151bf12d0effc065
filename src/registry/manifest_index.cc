#include "registry/manifest_index.h"

#include <fmt/format.h>

#include "oci/limits.h"
#include "oci/reference.h"

namespace registry {

using base::Error;
using base::ErrorCode;
using base::Status;
using oci::Descriptor;
using oci::Digest;

namespace {

const std::string kRefName(oci::annotation::kRefName);

struct EntryName {
  std::string repository;
  std::string tag;  ///< Empty for `repository@digest`.
};

std::optional<EntryName> parse_name(std::string_view name, const Digest& digest) {
  if (const auto at = name.find('@'); at != std::string_view::npos) {
    if (!oci::is_repository_name(name.substr(0, at)) || name.substr(at + 1) != digest.text())
      return std::nullopt;
    return EntryName{std::string(name.substr(0, at)), {}};
  }
  const auto colon = name.rfind(':');
  if (colon == std::string_view::npos || !oci::is_repository_name(name.substr(0, colon)) ||
      !oci::is_tag(name.substr(colon + 1)))
    return std::nullopt;
  return EntryName{std::string(name.substr(0, colon)), std::string(name.substr(colon + 1))};
}

}  // namespace

StoredManifest describe_manifest(const oci::RawManifest& raw, const oci::AnyManifest& decoded) {
  StoredManifest stored;
  stored.descriptor = raw.descriptor();
  if (const auto* manifest = std::get_if<oci::Manifest>(&decoded)) {
    stored.descriptor.artifact_type = manifest->effective_artifact_type();
    stored.annotations = manifest->annotations;
  } else {
    stored.descriptor.artifact_type = std::get<oci::Index>(decoded).artifact_type;
    stored.annotations = std::get<oci::Index>(decoded).annotations;
  }
  if (const auto& subject = oci::subject_of(decoded)) stored.subject = subject->digest;
  for (const Descriptor& child : oci::children_of(decoded)) stored.children.push_back(child.digest);
  return stored;
}

base::Result<std::unique_ptr<ManifestIndex>> ManifestIndex::load(const oci::Layout& layout,
                                                                 const base::Logger& log) {
  const oci::Index index = TRY(layout.read_index());
  std::unique_ptr<ManifestIndex> loaded(new ManifestIndex(layout));
  State state;
  for (const Descriptor& entry : index.manifests) loaded->load_entry(entry, state, log);
  loaded->state_.with([&](State& current) { current = std::move(state); });
  return loaded;
}

void ManifestIndex::load_entry(const Descriptor& entry, State& state,
                               const base::Logger& log) const {
  const auto name = parse_name(oci::find_annotation(entry.annotations, kRefName), entry.digest);
  if (!name) {
    state.foreign.push_back(entry);
    return;
  }
  Repository& repository = state.repositories[name->repository];
  if (!repository.manifests.contains(entry.digest)) {
    oci::RawManifest raw{entry.media_type, entry.digest, {}};
    auto bytes = layout_.read_blob(entry.digest, oci::kMaxManifestBytes);
    const auto decoded = bytes && Digest::of(*bytes) == entry.digest
                             ? oci::decode_manifest(*bytes, entry.media_type)
                             : base::Result<oci::AnyManifest>(
                                   Error(ErrorCode::NotFound, "its blob is missing or altered"));
    if (!decoded) {
      log.warn("manifest left out of the registry", {{"repository", name->repository},
                                                     {"digest", entry.digest.text()},
                                                     {"reason", decoded.error().message()}});
      if (repository.manifests.empty()) state.repositories.erase(name->repository);
      return;
    }
    raw.bytes = *std::move(bytes);
    repository.manifests.emplace(entry.digest, describe_manifest(raw, *decoded));
  }
  if (!name->tag.empty()) repository.tags[name->tag] = entry.digest;
}

oci::Index ManifestIndex::encode(const State& state) {
  oci::Index index;
  index.manifests = state.foreign;
  for (const auto& [name, repository] : state.repositories) {
    std::set<Digest> tagged;
    const auto add = [&](const StoredManifest& manifest, std::string ref_name) {
      Descriptor entry = manifest.descriptor;
      entry.annotations = {{kRefName, std::move(ref_name)}};
      index.manifests.push_back(std::move(entry));
    };
    for (const auto& [tag, digest] : repository.tags) {
      tagged.insert(digest);
      add(repository.manifests.at(digest), name + ":" + tag);
    }
    for (const auto& [digest, manifest] : repository.manifests) {
      if (!tagged.contains(digest)) add(manifest, name + "@" + digest.text());
    }
  }
  return index;
}

Status ManifestIndex::change(const std::function<Status(State&)>& edit,
                             const std::function<Status()>& ready) {
  return writes_.with([&](WriteOrder&) -> Status {
    if (ready) TRY(ready());
    State next = state_.with([](const State& state) { return state; });
    TRY(edit(next));
    TRY(layout_.write_index(encode(next)));
    state_.with([&](State& state) { state = std::move(next); });
    return {};
  });
}

void ManifestIndex::exclusively(const std::function<void()>& work) {
  writes_.with([&](WriteOrder&) { work(); });
}

Status ManifestIndex::put(const std::string& repository, const std::string& tag,
                          StoredManifest manifest, const std::function<Status()>& ready) {
  return change(
      [&](State& state) -> Status {
        Repository& target = state.repositories[repository];
        const Digest digest = manifest.descriptor.digest;
        target.manifests.insert_or_assign(digest, std::move(manifest));
        if (!tag.empty()) target.tags[tag] = digest;
        return {};
      },
      ready);
}

Status ManifestIndex::remove_tag(std::string_view repository, std::string_view tag) {
  return change(
      [&](State& state) -> Status {
        const auto found = state.repositories.find(repository);
        if (found == state.repositories.end())
          return Error(ErrorCode::NotFound, "repository unknown");
        const auto entry = found->second.tags.find(tag);
        if (entry == found->second.tags.end())
          return Error(ErrorCode::NotFound, fmt::format("tag {} unknown", tag));
        found->second.tags.erase(entry);
        return {};
      },
      {});
}

Status ManifestIndex::remove_manifest(std::string_view repository, const Digest& digest) {
  return change(
      [&](State& state) -> Status {
        const auto found = state.repositories.find(repository);
        if (found == state.repositories.end())
          return Error(ErrorCode::NotFound, "repository unknown");
        if (found->second.manifests.erase(digest) == 0)
          return Error(ErrorCode::NotFound, fmt::format("manifest {} unknown", digest.text()));
        std::erase_if(found->second.tags, [&](const auto& tag) { return tag.second == digest; });
        if (found->second.manifests.empty()) state.repositories.erase(found);
        return {};
      },
      {});
}

std::optional<StoredManifest> ManifestIndex::find(std::string_view repository,
                                                  std::string_view target) const {
  return state_.with([&](const State& state) -> std::optional<StoredManifest> {
    const auto found = state.repositories.find(repository);
    if (found == state.repositories.end()) return std::nullopt;
    const auto digest = [&]() -> std::optional<Digest> {
      if (const auto tag = found->second.tags.find(target); tag != found->second.tags.end())
        return tag->second;
      auto parsed = Digest::parse(target);
      return parsed ? std::optional(*std::move(parsed)) : std::nullopt;
    }();
    if (!digest) return std::nullopt;
    const auto manifest = found->second.manifests.find(*digest);
    if (manifest == found->second.manifests.end()) return std::nullopt;
    return manifest->second;
  });
}

bool ManifestIndex::has_repository(std::string_view repository) const {
  return state_.with([&](const State& state) { return state.repositories.contains(repository); });
}

std::vector<std::string> ManifestIndex::tags(std::string_view repository) const {
  return state_.with([&](const State& state) {
    std::vector<std::string> tags;
    const auto found = state.repositories.find(repository);
    if (found == state.repositories.end()) return tags;
    for (const auto& [tag, digest] : found->second.tags) tags.push_back(tag);
    return tags;
  });
}

std::vector<std::string> ManifestIndex::repositories() const {
  return state_.with([](const State& state) {
    std::vector<std::string> names;
    for (const auto& [name, repository] : state.repositories) names.push_back(name);
    return names;
  });
}

std::vector<StoredManifest> ManifestIndex::referrers(std::string_view repository,
                                                     const Digest& subject) const {
  return state_.with([&](const State& state) {
    std::vector<StoredManifest> found;
    const auto entry = state.repositories.find(repository);
    if (entry == state.repositories.end()) return found;
    for (const auto& [digest, manifest] : entry->second.manifests) {
      if (manifest.subject == subject) found.push_back(manifest);
    }
    return found;
  });
}

std::set<Digest> ManifestIndex::referenced() const {
  return state_.with([](const State& state) {
    std::set<Digest> used;
    for (const auto& [name, repository] : state.repositories) {
      for (const auto& [digest, manifest] : repository.manifests) {
        used.insert(digest);
        used.insert(manifest.children.begin(), manifest.children.end());
      }
    }
    return used;
  });
}

}  // namespace registry
