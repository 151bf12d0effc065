#include "kube/runtime/events.h"

#include <fmt/format.h>

#include <functional>
#include <list>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/queue.h"
#include "kube/limits.h"
#include "kube/runtime/backoff.h"

namespace kube {
namespace {

using base::Status;

constexpr api::ResourceType kEventType{"", "v1", "events", "Event", true};

struct Occurrence {
  ObjectReference about;
  EventType type = EventType::Normal;
  std::string reason;
  std::string message;
  base::SystemTime first;
  base::SystemTime last;
  std::int64_t count = 1;

  bool same_as(const Occurrence& other) const {
    return about.uid == other.about.uid && about.key == other.about.key &&
           about.type == other.about.type && type == other.type && reason == other.reason &&
           message == other.message;
  }
  std::size_t hash() const {
    return std::hash<std::string>()(fmt::format("{}/{}/{}/{}/{}/{}", about.type.kind,
                                                about.key.text(), about.uid, static_cast<int>(type),
                                                reason, message));
  }
};

/// An event object that exists on the server.
struct Sent {
  Occurrence occurrence;
  std::string name;
};

json::String string(std::string_view text) { return json::String(text.data(), text.size()); }

/// Cuts at a character's begin, so that the text stays valid UTF-8.
std::string shortened(std::string_view message) {
  if (message.size() <= kMaxEventMessageBytes) return std::string(message);
  std::size_t end = kMaxEventMessageBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
  return std::string(message.substr(0, end)) + "...";
}

/// Events of cluster-scoped objects live in `default`, as in Kubernetes.
std::string namespace_of(const ObjectReference& about) {
  return about.key.ns.empty() ? "default" : about.key.ns;
}

/// `<object>.<hex of the time>`, as client-go names them.
std::string name_of(const Occurrence& occurrence, std::uint64_t tick) {
  constexpr std::size_t kMaxNameBytes = 253 - 17;
  return fmt::format("{}.{:x}", occurrence.about.key.name.substr(0, kMaxNameBytes), tick);
}

json::Value event_object(const Occurrence& occurrence, const std::string& name,
                         std::string_view component) {
  const ObjectReference& about = occurrence.about;
  json::Object involved{{"apiVersion", string(about.type.api_version())},
                        {"kind", string(about.type.kind)},
                        {"name", string(about.key.name)}};
  if (!about.key.ns.empty()) involved["namespace"] = string(about.key.ns);
  if (!about.uid.empty()) involved["uid"] = string(about.uid);
  return json::Object{{"apiVersion", "v1"},
                      {"kind", "Event"},
                      {"metadata", json::Object{{"name", string(name)},
                                                {"namespace", string(namespace_of(about))}}},
                      {"involvedObject", std::move(involved)},
                      {"type", occurrence.type == EventType::Warning ? "Warning" : "Normal"},
                      {"reason", string(occurrence.reason)},
                      {"message", string(occurrence.message)},
                      {"source", json::Object{{"component", string(component)}}},
                      {"reportingComponent", string(component)},
                      {"reportingInstance", ""},
                      {"firstTimestamp", string(base::format_rfc3339(occurrence.first))},
                      {"lastTimestamp", string(base::format_rfc3339(occurrence.last))},
                      {"count", occurrence.count}};
}

/// What is already on the server, newest first, bounded.
class Memory {
 public:
  /// An event equal to `occurrence` that is still young enough to be counted up, or null.
  Sent* find(const Occurrence& occurrence) {
    const auto found = by_hash_.find(occurrence.hash());
    if (found == by_hash_.end()) return nullptr;
    const auto at = found->second;
    if (!at->occurrence.same_as(occurrence) ||
        occurrence.last - at->occurrence.last > kEventAggregation) {
      return nullptr;
    }
    newest_first_.splice(newest_first_.begin(), newest_first_, at);
    return &*at;
  }
  void forget(const Occurrence& occurrence) {
    const auto found = by_hash_.find(occurrence.hash());
    if (found == by_hash_.end()) return;
    newest_first_.erase(found->second);
    by_hash_.erase(found);
  }
  void add(Sent sent) {
    forget(sent.occurrence);
    const std::size_t hash = sent.occurrence.hash();
    newest_first_.push_front(std::move(sent));
    by_hash_[hash] = newest_first_.begin();
    if (newest_first_.size() <= kMaxRememberedEvents) return;
    by_hash_.erase(newest_first_.back().occurrence.hash());
    newest_first_.pop_back();
  }

 private:
  std::list<Sent> newest_first_;
  std::unordered_map<std::size_t, std::list<Sent>::iterator> by_hash_;
};

class BackgroundRecorder final : public EventRecorder {
 public:
  BackgroundRecorder(const base::Context& ctx, Client& client, std::string component,
                     const base::Clock* clock)
      : client_(client),
        component_(std::move(component)),
        clock_(clock ? *clock : real_clock_),
        log_(ctx.log().named("events")),
        queue_(kMaxQueuedEvents) {
    outer_stop_.emplace(ctx.stop(), [source = stop_]() mutable { source.request_stop(); });
    thread_ = std::jthread([this] { run(); });
  }

  ~BackgroundRecorder() override {
    stop_.request_stop();
    thread_.join();
  }

  void record(const ObjectReference& about, EventType type, std::string_view reason,
              std::string_view message) override {
    const auto now = clock_.now();
    const bool taken = queue_.try_push({.about = about,
                                        .type = type,
                                        .reason = std::string(reason),
                                        .message = shortened(message),
                                        .first = now,
                                        .last = now});
    if (!taken) {
      log_.warn("event dropped, too many wait", {{"object", about.key.text()}, {"reason", reason}});
    }
  }

 private:
  void run() {
    while (auto waiting = queue_.pop(stop_.get_token())) {
      if (bounds().done()) return;
      send_batch(*std::move(waiting));
    }
  }

  /// What bounds the next request: until the stop its token, afterwards a short time in which what
  /// waits may still go out.
  const base::Context& bounds() {
    if (stop_.stop_requested() && !last_) {
      last_ = base::Context({}, log_).with_timeout(kEventDrainLimit);
    }
    return last_ ? *last_ : running_;
  }

  /// Sends `first` and all that wait behind it; equal ones become one with a higher count.
  void send_batch(Occurrence first) {
    std::vector<Occurrence> batch;
    batch.push_back(std::move(first));
    while (auto next = queue_.try_pop()) {
      bool merged = false;
      for (Occurrence& known : batch) {
        if (!known.same_as(*next)) continue;
        known.count += next->count;
        known.last = next->last;
        merged = true;
        break;
      }
      if (!merged) batch.push_back(*std::move(next));
    }
    for (const Occurrence& occurrence : batch) send(occurrence);
  }

  void send(const Occurrence& occurrence) {
    Backoff backoff(milliseconds(500), milliseconds(4000));
    // One name for all attempts: one that was carried out without us knowing is not repeated.
    const std::string name = name_of(occurrence, next_tick(occurrence.first));
    for (int attempt = 1;; ++attempt) {
      const bool stopping = stop_.stop_requested();
      const Status status = send_once(bounds(), occurrence, name);
      if (status) return;
      const base::ErrorCode code = status.error().code();
      if (code == base::ErrorCode::Cancelled && !stopping) continue;  // The stop cut it off.
      const bool again = base::is_retryable(code) && attempt < kMaxEventAttempts;
      if (!again || !bounds().sleep(backoff.next())) {
        // Nobody can be told but the log; a namespace that goes away refuses events.
        log_.debug("event not recorded", {{"object", occurrence.about.key.text()},
                                          {"reason", occurrence.reason},
                                          {"error", status.error().message()}});
        return;
      }
    }
  }

  Status send_once(const base::Context& ctx, const Occurrence& occurrence,
                   const std::string& name) {
    if (Sent* known = memory_.find(occurrence)) {
      const std::int64_t count = known->occurrence.count + occurrence.count;
      const json::Object patch{{"count", count},
                               {"lastTimestamp", string(base::format_rfc3339(occurrence.last))}};
      const auto patched = client_.patch(
          ctx, kEventType, {namespace_of(occurrence.about), known->name}, PatchType::Merge, patch);
      if (patched) {
        known->occurrence.count = count;
        known->occurrence.last = occurrence.last;
        return {};
      }
      if (patched.error().code() != base::ErrorCode::NotFound) return patched.error();
      memory_.forget(occurrence);  // It expired on the server: a new one.
    }
    const auto created =
        client_.create(ctx, kEventType, event_object(occurrence, name, component_));
    if (!created && created.error().code() != base::ErrorCode::AlreadyExists) {
      return created.error();
    }
    memory_.add({occurrence, name});
    return {};
  }

  /// Nanoseconds since 1970, never the same twice.
  std::uint64_t next_tick(base::SystemTime time) {
    const auto since_epoch =
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
    last_tick_ = std::max(last_tick_ + 1, static_cast<std::uint64_t>(since_epoch.count()));
    return last_tick_;
  }

  Client& client_;
  const std::string component_;
  const base::RealClock real_clock_;
  const base::Clock& clock_;
  const base::Logger log_;
  base::Queue<Occurrence> queue_;
  Memory memory_;                ///< Of the thread.
  std::uint64_t last_tick_ = 0;  ///< Of the thread.
  std::stop_source stop_;
  const base::Context running_{stop_.get_token(), log_};
  std::optional<base::Context> last_;  ///< Of the thread; set once it stops.
  std::optional<std::stop_callback<std::function<void()>>> outer_stop_;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<EventRecorder> EventRecorder::create(const base::Context& ctx, Client& client,
                                                     std::string component) {
  return std::make_unique<BackgroundRecorder>(ctx, client, std::move(component), nullptr);
}

std::unique_ptr<EventRecorder> EventRecorder::create(const base::Context& ctx, Client& client,
                                                     std::string component,
                                                     const base::Clock& clock) {
  return std::make_unique<BackgroundRecorder>(ctx, client, std::move(component), &clock);
}

}  // namespace kube
