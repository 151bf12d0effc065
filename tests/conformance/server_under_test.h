#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "kube/rest/client.h"

namespace conformance {

/// The API server the suites speak to: that of KAITO_TEST_KUBECONFIG, or else an embedded one of
/// this process, started at the first call with an empty store. Aborts with the reason when there
/// is none.
const kube::RestConfig& server_under_test();

/// Whether it is the embedded one.
bool is_embedded();

/// Ends the server at once and starts it again on what it had stored; false when the server of the
/// kubeconfig cannot be restarted (KAITO_TEST_RESTART_COMMAND is not set).
bool restart_server();

/// A time limit for one request of a test.
inline base::Context context() { return base::Context().with_timeout(std::chrono::seconds(30)); }

/// Waits up to 20 s until `done()`.
template <class Done>
bool eventually(Done done) {
  for (const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20); !done();) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace conformance
