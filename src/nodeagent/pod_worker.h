#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "nodeagent/pod_manager.h"

namespace nodeagent {

/// One reconcile of one pod: carries out what `next_actions` asks for and notes it in the record.
class PodManager::Worker {
 public:
  Worker(const base::Context& ctx, PodManager& manager, const api::ObjectKey& key, Entry& entry)
      : ctx_(ctx),
        manager_(manager),
        key_(key),
        entry_(entry),
        pod_(*entry.pod),
        record_(entry.record) {}

  /// Errors: those of the API server, and of the address pool.
  base::Status begin();
  void apply(const Mail& mail);
  /// Acts until nothing is left to do now; returns the last plan.
  Plan act();
  /// Shows running containers what the objects behind their volumes hold now. Returns when to try
  /// again; nothing when only a change of an object can help.
  std::optional<std::chrono::milliseconds> refresh_volumes();
  base::Status write_status();
  /// Forgets the pod's files and address. Nothing of it may run any more.
  void clean_up();

 private:
  void on_exit(const std::string& name, ContainerRecord& container, const ContainerExit& exit);
  void on_probe(const std::string& name, ContainerRecord& container, const ProbeReport& report);
  void on_hook(const std::string& name, ContainerRecord& container, const HookDone& hook);
  void carry_out(const Action& action);
  void start(const api::Container& container, ContainerRecord& record);
  base::Result<ContainerSpec> make_spec(const api::Container& container, const LocalImage& image,
                                        int restart);
  void run(const api::Container& container, ContainerRecord& record, const ContainerSpec& spec,
           int restart);
  void wait_with(ContainerRecord& record, std::string reason, std::string message);
  void end_unstarted(ContainerRecord& record, const std::string& message);
  void stop(const std::string& name, ContainerRecord& record, std::chrono::seconds grace);
  void send_signal(const ContainerRecord& record, int signal);
  void check_deadline();
  void record_event(kube::EventType type, std::string_view reason, std::string_view message);
  const api::Container* find_container(std::string_view name) const;
  ContainerRole role_of(std::string_view name) const;
  std::string container_dir(const std::string& name) const;
  /// The pod as its containers may see it: with its addresses.
  api::Pod addressed_pod() const;

  const base::Context& ctx_;
  PodManager& manager_;
  const api::ObjectKey& key_;
  Entry& entry_;
  const api::Pod& pod_;
  PodRecord& record_;
};

}  // namespace nodeagent
