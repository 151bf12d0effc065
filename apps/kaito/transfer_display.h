#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "oci/progress.h"

namespace kaito {

/// Shows how far a transfer is: a bar on a terminal, else one line a second.
class TransferDisplay {
 public:
  explicit TransferDisplay(std::string verb, std::FILE* out = stdout);
  /// Ends the bar's line.
  ~TransferDisplay();
  TransferDisplay(const TransferDisplay&) = delete;
  TransferDisplay& operator=(const TransferDisplay&) = delete;

  void show(const oci::Progress& progress);
  oci::ProgressCallback callback() {
    return [this](const oci::Progress& progress) { show(progress); };
  }

 private:
  using Clock = std::chrono::steady_clock;
  void print(const oci::Progress& progress, double bytes_per_second) const;

  const std::string verb_;
  std::FILE* const out_;
  const bool terminal_;
  bool line_open_ = false;
  bool complete_shown_ = false;
  Clock::time_point started_;
  Clock::time_point shown_;
  std::uint64_t first_bytes_ = 0;
  bool begun_ = false;
};

}  // namespace kaito
