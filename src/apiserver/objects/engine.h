#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apiserver/admission.h"
#include "apiserver/objects/documents.h"
#include "apiserver/resources/registry.h"
#include "apiserver/store/store.h"
#include "base/clock.h"

namespace apiserver {

/// The object or collection that a request addresses, and as which version.
struct Target {
  DefinitionRef definition{};
  const VersionDefinition* version = nullptr;  ///< Of `definition`.
  std::string ns{};
  std::string name{};
  std::string subresource{};

  api::ObjectKey key() const { return {definition->namespaced ? ns : std::string(), name}; }
  std::string api_version() const { return definition->api_version(*version); }
};

enum class FieldValidation { Ignore, Warn, Strict };

struct WriteOptions {
  bool dry_run = false;
  bool force = false;  ///< Server-side apply takes fields from other managers.
  FieldValidation field_validation = FieldValidation::Warn;
  std::string field_manager{};
  std::string user{};
};

struct WriteOutcome {
  ObjectRef object{};  ///< In the storage version; never null.
  bool created = false;
  std::vector<std::string> warnings{};
};

enum class Propagation { Default, Background, Foreground, Orphan };

struct DeleteOptions {
  std::optional<std::int64_t> grace_seconds{};
  std::string uid{};               ///< Precondition; "" for none.
  std::string resource_version{};  ///< Precondition; "" for none.
  Propagation propagation = Propagation::Default;
  bool dry_run = false;
  std::string user{};
};

struct DeleteOutcome {
  ObjectRef object{};  ///< The last state.
  bool removed = false;
};

/// The verbs of the API on single objects, free of HTTP: identity, defaults, admission, validation,
/// managed fields, optimistic concurrency, finalizers. Safe to use from many threads.
class ObjectEngine {
 public:
  struct Deps {
    Store& store;
    Registry& registry;
    const std::vector<AdmissionRegistration>& admission;
    const base::Clock& clock;
  };
  explicit ObjectEngine(Deps deps) : deps_(deps) {}

  ApiResult<ObjectRef> get(const Target& target) const;
  ApiResult<WriteOutcome> create(const Target& target, json::Value body,
                                 const WriteOptions& options);
  /// PUT of the object or of its status.
  ApiResult<WriteOutcome> update(const Target& target, const json::Value& body,
                                 const WriteOptions& options);
  ApiResult<WriteOutcome> patch(const Target& target, PatchType type, const json::Value& patch,
                                const WriteOptions& options);
  ApiResult<DeleteOutcome> remove(const Target& target, const DeleteOptions& options);

  /// A change made by the server itself (scale, binding): `edit` alters the current object, and
  /// every rule of an update applies.
  using Edit = std::function<ApiResult<json::Value>(const json::Value& current)>;
  ApiResult<WriteOutcome> edit(const Target& target, const WriteOptions& options, const Edit& edit);

  /// The document as `version` shows it.
  static json::Value in_version(const ResourceDefinition& resource,
                                const VersionDefinition& version, const StoredObject& object);

 private:
  /// A write on its way through the rules.
  struct Draft {
    const Target& target;
    const WriteOptions& options;
    json::Value object{};
    const json::Value* old = nullptr;  ///< In the request's version.
    bool applied = false;              ///< Server-side apply: managedFields are done.
    std::vector<std::string> warnings{};
  };

  ApiStatus check_body(Draft& draft) const;
  ApiStatus check_namespace(const Target& target) const;
  ApiResult<json::Value> complete_create(Draft& draft) const;
  ApiResult<json::Value> complete_update(Draft& draft) const;
  ApiStatus run_rules(Draft& draft) const;
  ApiStatus admit(AdmissionPhase phase, Draft& draft) const;
  ApiStatus admit_delete(const Target& target, const DeleteOptions& options,
                         const StoredObject& old) const;
  ApiResult<WriteOutcome> store_new(Draft& draft);
  ApiResult<WriteOutcome> store_update(Draft& draft, const ObjectRef& current, bool exact);
  ApiResult<DeleteOutcome> remove_once(const Target& target, const DeleteOptions& options);
  ApiResult<ObjectRef> erase(const Target& target, Revision expected);
  void finish_custom_resource(const ResourceDefinition& resource);
  void delete_instances(const json::Value& crd);

  Deps deps_;
};

}  // namespace apiserver
