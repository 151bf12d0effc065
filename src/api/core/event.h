#pragma once

#include <cstdint>
#include <string>

#include "api/core/references.h"
#include "api/core/unread.h"
#include "api/meta.h"

/// core/v1 Event.
namespace api {

struct EventSource {
  std::string component{};
  std::string host{};
};
template <class V>
void describe(V& v, EventSource& s) {
  v.field("component", s.component, Presence::Optional, "Who reports.");
  v.field("host", s.host, Presence::Optional, "On which node.");
}

struct Event {
  static constexpr ResourceType kType{"", "v1", "events", "Event", true};
  ObjectMeta metadata{};
  ObjectReference involved_object{};
  std::string reason{};
  std::string message{};
  EventSource source{};
  Time first_timestamp{};
  Time last_timestamp{};
  std::int32_t count = 0;
  std::string type{};
  std::string reporting_component{};
  std::string reporting_instance{};
  Unread unread{};
};
template <class V>
void describe(V& v, Event& e) {
  v.type("Something that happened to an object.");
  describe_root(v, e);
  v.field("involvedObject", e.involved_object, Presence::Required, "The object.");
  v.field("reason", e.reason, Presence::Optional, "CamelCase reason.");
  v.field("message", e.message, Presence::Optional, "Details for people.");
  v.field("source", e.source, Presence::Optional, "Who reports.");
  v.field("firstTimestamp", e.first_timestamp, Presence::Optional, "When it first happened.",
          {.format = "date-time"});
  v.field("lastTimestamp", e.last_timestamp, Presence::Optional, "When it last happened.",
          {.format = "date-time"});
  v.field("count", e.count, Presence::Optional, "How often.");
  v.field("type", e.type, Presence::Optional, "Normal or Warning.");
  v.field("reportingComponent", e.reporting_component, Presence::Optional,
          "Controller that reports.");
  v.field("reportingInstance", e.reporting_instance, Presence::Optional, "Its instance.");
  v.field("action", e.unread, Presence::Optional, "What was done about it.");
  v.field("eventTime", e.unread, Presence::Optional, "When it was first seen.");
  v.field("related", e.unread, Presence::Optional, "Another object it is about.");
  v.field("series", e.unread, Presence::Optional, "How it repeated.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Event> decode(const Value&);
extern template Value encode(const api::Event&);
}  // namespace json
