#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "apps/tuner/options.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/result.h"
#include "metrics/registry.h"
#include "net/http_server.h"
#include "tuning/run/progress.h"
#include "tuning/run/run_metrics.h"

namespace tuner {

/// Tells where the run stands: a line on the terminal or JSON lines, and over HTTP `/metrics`
/// (Prometheus), `/progress` (the last JSON line) and `/health`. `update` from one thread.
class Status {
 public:
  explicit Status(const Options& options);
  ~Status();

  /// Errors: those of the server, the port is taken for example.
  base::Status serve(const Options& options, const base::Logger& log);
  void update(const tuning::Progress& progress);
  /// The same step again with another phase.
  void enter(tuning::Phase phase);
  void fail(const std::string& message);

 private:
  void answer(net::HttpExchange& exchange) const;
  void print(const tuning::Progress& progress, bool always);

  const ProgressStyle style_;
  metrics::Registry registry_;
  tuning::RunMetrics metrics_;
  base::Guarded<tuning::Progress> progress_;
  std::chrono::steady_clock::time_point printed_{};
  bool line_open_ = false;
  std::unique_ptr<net::HttpServer> server_;  ///< Last: its threads read the others.
};

}  // namespace tuner
