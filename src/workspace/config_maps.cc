#include "workspace/config_maps.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "kube/cache/informer.h"

namespace workspace {

struct ConfigMaps::State {
  using Watch = kube::Informer<api::ConfigMap>;
  struct Watches {
    std::map<std::string, std::shared_ptr<Watch>> by_namespace;  ///< "" is the whole cluster.
    std::optional<base::Context> ctx;                            ///< Set while running.
  };

  State(kube::Client& server, OnChange changed) : client(server), on_change(std::move(changed)) {}

  /// The watch that covers a namespace, begun when there is none; null when not running.
  std::shared_ptr<const Watch> watch_of(const std::string& ns) {
    return watches.with([&](Watches& all) -> std::shared_ptr<const Watch> {
      if (!all.ctx) return nullptr;
      for (const std::string& scope : {ns, std::string()}) {
        const auto found = all.by_namespace.find(scope);
        if (found != all.by_namespace.end()) return found->second;
      }
      kube::Reflector::Options options;
      if (all.by_namespace.size() < kMaxNamespaceWatches) options.ns = ns;
      auto watch = std::make_shared<Watch>(client, options);
      watch->add_handler([this](const kube::Change<api::ConfigMap>& change) {
        const bool same =
            change.before && change.after && change.before->data == change.after->data;
        if (!same) on_change(change.any().metadata.key());
      });
      watch->start(*all.ctx);
      all.by_namespace[options.ns] = watch;
      return watch;
    });
  }

  kube::Client& client;
  const OnChange on_change;
  base::Guarded<Watches> watches;
};

ConfigMaps::ConfigMaps(kube::Client& client, OnChange on_change)
    : state_(std::make_unique<State>(client, std::move(on_change))) {}

ConfigMaps::~ConfigMaps() { stop(); }

void ConfigMaps::start(const base::Context& ctx) {
  state_->watches.with([&](State::Watches& all) { all.ctx = ctx; });
}

void ConfigMaps::stop() {
  // Taken out first: ending a watch waits for its thread, which must not happen under the lock.
  const auto ended = state_->watches.with([](State::Watches& all) {
    all.ctx.reset();
    return std::exchange(all.by_namespace, {});
  });
  for (const auto& [ns, watch] : ended) watch->stop();
}

ConfigMaps::Lookup ConfigMaps::find(const api::ObjectKey& key) {
  const auto watch = state_->watch_of(key.ns);
  if (!watch || !watch->synced()) return {};
  return {true, watch->get(key)};
}

}  // namespace workspace
