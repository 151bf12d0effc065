#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/meta.h"
#include "base/context.h"
#include "kube/rest/client.h"

namespace kube {

/// What an event is about.
struct ObjectReference {
  api::ResourceType type;
  api::ObjectKey key;
  std::string uid;

  template <api::Resource T>
  static ObjectReference of(const T& object) {
    return {T::kType, object.metadata.key(), object.metadata.uid};
  }
};

enum class EventType { Normal, Warning };

/// Records core/v1 Events in the background: bounded queue (the oldest wait, the newest is dropped
/// when full), equal events within ten minutes raise `count` instead of making new objects. Never
/// fails and never blocks the caller.
class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  virtual void record(const ObjectReference& about, EventType type, std::string_view reason,
                      std::string_view message) = 0;

  /// The recorder's thread ends with the object, after sending what waits for a second at most.
  static std::unique_ptr<EventRecorder> create(const base::Context& ctx, Client& client,
                                               std::string component);
  /// With another clock, for tests.
  static std::unique_ptr<EventRecorder> create(const base::Context& ctx, Client& client,
                                               std::string component, const base::Clock& clock);
};

}  // namespace kube
