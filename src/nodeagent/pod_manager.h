#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "api/core/node.h"
#include "api/core/pod.h"
#include "base/guarded.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "nodeagent/config_source.h"
#include "nodeagent/images.h"
#include "nodeagent/ip_pool.h"
#include "nodeagent/lifecycle/plan.h"
#include "nodeagent/lifecycle/record.h"
#include "nodeagent/pod_files.h"
#include "nodeagent/probes/prober.h"
#include "nodeagent/runtime/process_runtime.h"

namespace nodeagent {

/// Brings the pods of this machine's Nodes to what their objects ask for, and reports how they are.
/// What happens on other threads (ends of containers, probes, hooks) comes in as news for a pod's
/// key; only the worker that holds the key touches the pod's record.
class PodManager final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    ContainerRuntime& runtime;
    const Checker& checker;
    ConfigSource& configs;
    kube::EventRecorder& events;
    const base::Clock& clock;
    kube::Informer<api::Pod>& pods;
    /// Whether a Node of this name is on this machine.
    std::function<bool(const std::string&)> is_local_node;
    std::function<void(const api::ObjectKey&)> enqueue;
  };
  struct Options {
    PodFiles files{""};
    ImageMap images;
    Isolation isolation = Isolation::Namespaces;
    BackoffPolicy backoff;
    std::string host_ip = "127.0.0.1";
    std::int64_t log_max_bytes = 0;
  };

  PodManager(const base::Context& ctx, Deps deps, Options options, IpPool addresses);
  ~PodManager() override;

  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

  /// Removes what earlier agents left of pods that no longer exist. Call once, when pods are
  /// synced.
  void remove_leftovers(const base::Logger& log) const;

  /// Something that the pod's volumes show has changed; safe from any thread.
  void volumes_changed(const api::ObjectKey& key);

  /// Ends probes and hooks; no reconcile may follow. Containers can then be ended.
  void stop();

  /// Whether this run of a container still goes on; safe from any thread.
  bool is_running(const std::string& uid, const std::string& container, int restart) const;

 private:
  struct HookDone {
    bool is_pre_stop = false;
    std::string error;
  };
  using News = std::variant<ContainerExit, ProbeReport, HookDone>;
  struct Mail {
    std::string runtime_id;
    News news;
  };
  /// A pod under this agent's care.
  struct Entry {
    PodRecord record;
    std::shared_ptr<const api::Pod> pod;        ///< As last seen.
    json::Value written_status;                 ///< Null before the first write.
    std::vector<api::PodCondition> conditions;  ///< As written; the cache may lag behind them.
    bool begun = false;                         ///< A worker has taken it on.
    std::string volume_error;                   ///< Of the latest refresh; "" when it went well.
  };
  class Worker;

  void deliver(const std::string& runtime_id, News news);
  Entry* find_entry(const api::ObjectKey& key);
  std::vector<Mail> take_mail(const api::ObjectKey& key);
  bool take_stale(const api::ObjectKey& key);

  Deps deps_;
  Options options_;
  IpPool addresses_;
  base::Guarded<std::map<api::ObjectKey, std::unique_ptr<Entry>>> entries_;
  base::Guarded<std::map<std::string, api::ObjectKey>> runs_;  ///< Runtime id to pod.
  base::Guarded<std::map<api::ObjectKey, std::vector<Mail>>> mailbox_;
  base::Guarded<std::set<api::ObjectKey>> stale_;  ///< Pods whose volumes have to be looked at.
  base::Guarded<std::map<std::string, int>>
      running_;                     ///< `uid/container` to the restart that runs.
  std::unique_ptr<Prober> prober_;  ///< Last: its threads use the rest.
};

}  // namespace nodeagent
