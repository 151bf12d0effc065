#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/meta.h"
#include "base/context.h"
#include "kube/rest/client.h"

namespace kube {

/// The list-and-watch loop behind an informer: pages the list, watches from its version with
/// bookmarks, resumes after a dropped watch, lists again after 410, backs off with jitter when the
/// server does not answer. One thread per reflector. A derived class calls `stop` in its
/// destructor.
class Reflector {
 public:
  struct Options {
    std::string ns;
    std::string label_selector;
    std::string field_selector;
    std::size_t page_size = 500;
    /// Asked of the server for each watch, shortened by up to a quarter so that not all end at
    /// once.
    std::chrono::seconds watch_timeout{400};
    std::chrono::milliseconds watch_margin{30'000};  ///< See WatchOptions.
  };
  Reflector(Client& client, api::ResourceType type, Options options);
  virtual ~Reflector();

  /// Starts the thread; the context's stop token ends it, and so does destruction.
  void start(const base::Context& ctx);
  void stop();
  /// True after the first complete list.
  bool synced() const;
  /// Waits until `synced`. Errors: those of the context, naming what the last list failed with.
  base::Status wait_synced(const base::Context& ctx) const;
  /// What is followed.
  const api::ResourceType& type() const;

 protected:
  // All of these run on the reflector's thread. A complete list arrives as on_replace_begin,
  // on_replace_item for each object and on_replace_end, and replaces what was known; after a
  // failure inside a list the next call is on_replace_begin again.
  virtual void on_replace_begin() = 0;
  virtual void on_replace_item(json::Value item) = 0;
  virtual void on_replace_end() = 0;
  /// Added, Modified or Deleted.
  virtual void on_event(WatchEvent event) = 0;

  /// Logs an object that does not fit its type and is left out.
  void report_unreadable(const json::Value& object, const base::Error& error) const;

 private:
  struct State;
  class Loop;
  std::unique_ptr<State> state_;
};

enum class ChangeKind { Added, Updated, Deleted };

template <class T>
struct Change {
  ChangeKind kind;
  std::shared_ptr<const T> before;  ///< Null for Added.
  std::shared_ptr<const T> after;   ///< Null for Deleted.
  const T& any() const { return after ? *after : *before; }
};

/// A local, always current copy of the objects of one type that match a selector. Readers get
/// immutable snapshots; handlers run on the reflector's thread and must only enqueue keys.
template <api::Resource T>
class Informer final : public Reflector {
 public:
  using Handler = std::function<void(const Change<T>&)>;
  using IndexFunction = std::function<std::vector<std::string>(const T&)>;

  explicit Informer(Client& client, Options options = {})
      : Reflector(client, T::kType, std::move(options)) {}
  ~Informer() override { stop(); }

  /// Before `start` only.
  void add_handler(Handler handler) { handlers_.push_back(std::move(handler)); }
  /// Before `start` only: objects can then be found by each of the strings `function` gives.
  void add_index(std::string name, IndexFunction function) {
    indexes_[std::move(name)].function = std::move(function);
  }

  std::shared_ptr<const T> get(const api::ObjectKey& key) const {
    std::shared_lock lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::vector<std::shared_ptr<const T>> list() const {
    std::shared_lock lock(mutex_);
    std::vector<std::shared_ptr<const T>> all;
    all.reserve(objects_.size());
    for (const auto& [key, object] : objects_) all.push_back(object);
    return all;
  }
  std::vector<std::shared_ptr<const T>> by_index(const std::string& name,
                                                 const std::string& value) const {
    std::shared_lock lock(mutex_);
    std::vector<std::shared_ptr<const T>> found;
    const auto& entries = indexes_.at(name).entries;
    for (auto [at, end] = entries.equal_range(value); at != end; ++at)
      found.push_back(objects_.at(at->second));
    return found;
  }
  std::size_t size() const {
    std::shared_lock lock(mutex_);
    return objects_.size();
  }

 protected:
  void on_replace_begin() override { listed_.clear(); }
  void on_replace_item(json::Value item) override {
    if (auto object = decode_item(item)) listed_.emplace(object->metadata.key(), std::move(object));
  }
  void on_replace_end() override {
    std::vector<api::ObjectKey> gone;
    {
      std::shared_lock lock(mutex_);
      for (const auto& [key, object] : objects_) {
        if (!listed_.contains(key)) gone.push_back(key);
      }
    }
    for (const api::ObjectKey& key : gone) erase(key);
    for (auto& [key, object] : listed_) store(std::move(object));
    listed_.clear();
  }
  void on_event(WatchEvent event) override {
    auto object = decode_item(event.object);
    if (!object) return;
    if (event.type == WatchEventType::Deleted) {
      erase(object->metadata.key());
    } else {
      store(std::move(object));
    }
  }

 private:
  struct Index {
    IndexFunction function;
    std::multimap<std::string, api::ObjectKey> entries;
  };

  std::shared_ptr<const T> decode_item(const json::Value& item) const {
    auto object = json::decode<T>(item);
    if (object) return std::make_shared<const T>(*std::move(object));
    report_unreadable(item, object.error());
    return nullptr;
  }

  void store(std::shared_ptr<const T> object) {
    Change<T> change{ChangeKind::Added, nullptr, object};
    {
      std::unique_lock lock(mutex_);
      std::shared_ptr<const T>& slot = objects_[object->metadata.key()];
      if (slot) {
        if (slot->metadata.resource_version == object->metadata.resource_version) return;
        change.kind = ChangeKind::Updated;
        change.before = slot;
        unindex(*slot);
      }
      slot = object;
      for (auto& [name, index] : indexes_) {
        for (const std::string& value : index.function(*object))
          index.entries.emplace(value, object->metadata.key());
      }
    }
    for (const Handler& handler : handlers_) handler(change);
  }

  void erase(const api::ObjectKey& key) {
    Change<T> change{ChangeKind::Deleted, nullptr, nullptr};
    {
      std::unique_lock lock(mutex_);
      const auto found = objects_.find(key);
      if (found == objects_.end()) return;
      change.before = found->second;
      unindex(*found->second);
      objects_.erase(found);
    }
    for (const Handler& handler : handlers_) handler(change);
  }

  void unindex(const T& object) {
    for (auto& [name, index] : indexes_) {
      for (const std::string& value : index.function(object)) {
        for (auto [at, end] = index.entries.equal_range(value); at != end;) {
          at = at->second == object.metadata.key() ? index.entries.erase(at) : std::next(at);
        }
      }
    }
  }

  std::map<api::ObjectKey, std::shared_ptr<const T>> listed_;  ///< Of the list that is arriving.
  mutable std::shared_mutex mutex_;
  std::map<api::ObjectKey, std::shared_ptr<const T>> objects_;
  std::map<std::string, Index> indexes_;
  std::vector<Handler> handlers_;
};

}  // namespace kube
