#include "nodeagent/pod_manager.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "nodeagent/lifecycle/status.h"
#include "nodeagent/limits.h"
#include "nodeagent/pod_worker.h"

namespace nodeagent {
namespace {

bool is_terminal(const api::Pod& pod) {
  return pod.status.phase == "Succeeded" || pod.status.phase == "Failed";
}

std::string run_name(const std::string& uid, const std::string& container) {
  return uid + "/" + container;
}

/// Whether downwardAPI volumes show the two differently.
bool shows_differently(const api::Pod& before, const api::Pod& after) {
  return before.metadata.labels != after.metadata.labels ||
         before.metadata.annotations != after.metadata.annotations;
}

/// Removes the object; that it is gone already is what was wanted.
base::Status remove_object(const base::Context& ctx, kube::Client& client, const api::Pod& pod) {
  kube::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = pod.metadata.uid;
  const base::Status removed = client.remove(ctx, api::Pod::kType, pod.metadata.key(), options);
  if (!removed && removed.error().code() != base::ErrorCode::NotFound &&
      removed.error().code() != base::ErrorCode::Conflict) {
    return removed;
  }
  return {};
}

}  // namespace

PodManager::PodManager(const base::Context& ctx, Deps deps, Options options, IpPool addresses)
    : deps_(std::move(deps)), options_(std::move(options)), addresses_(std::move(addresses)) {
  prober_ = std::make_unique<Prober>(ctx, deps_.checker, [this](const ProbeReport& report) {
    deliver(report.runtime_id, report);
  });
}

PodManager::~PodManager() = default;

void PodManager::stop() { prober_.reset(); }

void PodManager::deliver(const std::string& runtime_id, News news) {
  const std::optional<api::ObjectKey> key =
      runs_.with([&](auto& runs) -> std::optional<api::ObjectKey> {
        const auto found = runs.find(runtime_id);
        if (found == runs.end()) return std::nullopt;
        return found->second;
      });
  if (!key) return;
  mailbox_.with([&](auto& mailbox) { mailbox[*key].push_back({runtime_id, std::move(news)}); });
  deps_.enqueue(*key);
}

PodManager::Entry* PodManager::find_entry(const api::ObjectKey& key) {
  return entries_.with([&](auto& entries) {
    const auto found = entries.find(key);
    return found == entries.end() ? nullptr : found->second.get();
  });
}

bool PodManager::is_running(const std::string& uid, const std::string& container,
                            int restart) const {
  return running_.with([&](const auto& running) {
    const auto found = running.find(run_name(uid, container));
    return found != running.end() && found->second == restart;
  });
}

void PodManager::volumes_changed(const api::ObjectKey& key) {
  stale_.with([&](auto& stale) { stale.insert(key); });
  deps_.enqueue(key);
}

bool PodManager::take_stale(const api::ObjectKey& key) {
  return stale_.with([&](auto& stale) { return stale.erase(key) > 0; });
}

std::vector<PodManager::Mail> PodManager::take_mail(const api::ObjectKey& key) {
  return mailbox_.with([&](auto& mailbox) {
    auto node = mailbox.extract(key);
    return node ? std::move(node.mapped()) : std::vector<Mail>();
  });
}

base::Result<kube::Requeue> PodManager::reconcile(const base::Context& ctx,
                                                  const api::ObjectKey& key) {
  const std::shared_ptr<const api::Pod> pod = deps_.pods.get(key);
  bool stale = take_stale(key);
  Entry* entry = find_entry(key);
  const bool is_other = entry && (!pod || pod->metadata.uid != entry->record.uid);
  if (!entry) {
    if (!pod || pod->spec.node_name.empty() || !deps_.is_local_node(pod->spec.node_name))
      return kube::Requeue::none();
    if (is_terminal(*pod) && !pod->metadata.deleting()) return kube::Requeue::none();
    auto fresh = std::make_unique<Entry>();
    fresh->pod = pod;
    fresh->record = record_from_status(*pod, deps_.clock.now(), deps_.clock.steady());
    entry = fresh.get();
    entries_.with([&](auto& entries) { entries[key] = std::move(fresh); });
  } else if (!is_other) {
    stale = stale || shows_differently(*entry->pod, *pod);
    entry->pod = pod;
  }
  Worker worker(ctx, *this, key, *entry);
  if (!entry->begun) {
    TRY(worker.begin());
    entry->begun = true;
  }
  PodRecord& record = entry->record;
  if (is_other || entry->pod->metadata.deleting()) {
    record.removing = true;
    const std::int64_t grace = is_other
                                   ? 0
                                   : entry->pod->metadata.deletion_grace_period_seconds.value_or(
                                         kDefaultGracePeriod.count());
    record.grace = std::chrono::seconds(grace);
  }
  for (const Mail& letter : take_mail(key)) worker.apply(letter);
  const Plan plan = worker.act();
  if (record.removing && plan.all_ended) {
    // The final word first, so that whoever watches learns how it ended.
    if (!is_other) {
      TRY(worker.write_status());
      TRY(remove_object(ctx, deps_.client, *entry->pod));
    }
    worker.clean_up();
    entries_.with([&](auto& entries) { entries.erase(key); });
    if (is_other && pod) deps_.enqueue(key);
    return kube::Requeue::none();
  }
  kube::Requeue next;
  if (stale && !record.removing) {
    next.delay = worker.refresh_volumes();
    if (next.delay) stale_.with([&](auto& keys) { keys.insert(key); });
  }
  if (!is_other) TRY(worker.write_status());
  if (!plan.wake_at) return next;
  return kube::Requeue::sooner(
      next, kube::Requeue::after(
                std::max(std::chrono::nanoseconds(0), *plan.wake_at - deps_.clock.steady())));
}

void PodManager::remove_leftovers(const base::Logger& log) const {
  std::set<std::string> known;
  for (const auto& pod : deps_.pods.list()) known.insert(pod->metadata.uid);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.files.pods_dir(), error)) {
    const std::string uid = entry.path().filename().string();
    if (known.contains(uid)) continue;
    std::filesystem::remove_all(entry.path(), error);
    log.info("removed files of a pod that is gone", {{"uid", uid}});
  }
}

}  // namespace nodeagent
