#include "base/signals.h"

#include <pthread.h>
#include <signal.h>

#include <thread>

namespace base {
namespace {

sigset_t watched_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

struct SignalWatcher::State {
  std::jthread thread;
};

SignalWatcher::SignalWatcher(Handler handler) : state_(std::make_unique<State>()) {
  const sigset_t set = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  state_->thread = std::jthread([handler = std::move(handler), set](const std::stop_token& stop) {
    // A pending signal wakes sigtimedwait at once; the timeout only bounds how long an end may take.
    constexpr timespec kPoll{0, 50'000'000};
    while (!stop.stop_requested()) {
      if (const int signal = ::sigtimedwait(&set, nullptr, &kPoll); signal > 0) handler(signal);
    }
  });
}

SignalWatcher::~SignalWatcher() = default;

}  // namespace base
