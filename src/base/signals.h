#pragma once

#include <functional>
#include <memory>

namespace base {

/// Turns SIGINT and SIGTERM into calls on a thread of its own, where any code may run. Create it
/// before other threads: it blocks the signals for the calling thread and those started later.
/// Destruction ends the thread; the signals stay blocked.
class SignalWatcher {
 public:
  using Handler = std::function<void(int signal)>;
  explicit SignalWatcher(Handler handler);
  ~SignalWatcher();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace base
