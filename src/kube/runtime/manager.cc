#include <ranges>

#include "kube/runtime/controller.h"

namespace kube {

Manager::~Manager() { stop(); }

base::Status Manager::start(const base::Context& ctx, std::chrono::milliseconds limit) {
  const base::Context named = ctx.with_log(log_);
  for (Reflector* informer : informers_) informer->start(named);
  const base::Context bounded = named.with_timeout(limit);
  for (Reflector* informer : informers_) {
    if (auto synced = informer->wait_synced(bounded); !synced) {
      stop();
      return synced;
    }
  }
  for (Controller* controller : controllers_) controller->start(named);
  return {};
}

void Manager::stop() {
  for (Controller* controller : std::views::reverse(controllers_)) controller->stop();
  for (Reflector* informer : std::views::reverse(informers_)) informer->stop();
  controllers_.clear();
  informers_.clear();
}

}  // namespace kube
