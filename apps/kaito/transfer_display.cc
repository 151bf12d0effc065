#include "apps/kaito/transfer_display.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "oci/failure.h"

namespace kaito {

namespace {

constexpr auto kBarInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(1);
constexpr std::size_t kBarWidth = 30;

}  // namespace

TransferDisplay::TransferDisplay(std::string verb, std::FILE* out)
    : verb_(std::move(verb)),
      out_(out),
      terminal_(::isatty(::fileno(out)) == 1),
      started_(Clock::now()),
      shown_(started_) {}

TransferDisplay::~TransferDisplay() {
  if (line_open_) {
    std::fputc('\n', out_);
    std::fflush(out_);
  }
}

void TransferDisplay::show(const oci::Progress& progress) {
  const auto now = Clock::now();
  if (!begun_) {
    begun_ = true;
    started_ = now;
    shown_ = now;
    first_bytes_ =
        progress.done_bytes;  // What a resumed transfer had already says nothing of its rate.
  }
  const bool complete = progress.total_bytes > 0 && progress.done_bytes >= progress.total_bytes;
  if (complete && complete_shown_) return;
  if (!complete &&
      now - shown_ < (terminal_ ? kBarInterval : std::chrono::milliseconds(kLineInterval)))
    return;
  complete_shown_ = complete;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const auto moved =
      static_cast<double>(progress.done_bytes - std::min(first_bytes_, progress.done_bytes));
  print(progress, seconds > 0 ? moved / seconds : 0);
  line_open_ = terminal_;
}

void TransferDisplay::print(const oci::Progress& progress, double bytes_per_second) const {
  const double share = progress.total_bytes == 0 ? 0
                                                 : static_cast<double>(progress.done_bytes) /
                                                       static_cast<double>(progress.total_bytes);
  std::string rate;
  if (bytes_per_second > 0) {
    rate = fmt::format(", {}/s", oci::format_bytes(static_cast<std::uint64_t>(bytes_per_second)));
    const double left = static_cast<double>(progress.total_bytes -
                                            std::min(progress.done_bytes, progress.total_bytes)) /
                        bytes_per_second;
    if (left >= 1) rate += fmt::format(", {:.0f} s left", left);
  }
  const std::string amount =
      fmt::format("{} of {} ({:.0f} %){}", oci::format_bytes(progress.done_bytes),
                  oci::format_bytes(progress.total_bytes), share * 100, rate);
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(share * kBarWidth);
    fmt::print(out_, "\r{:<9} [{}{}] {}\x1b[K", verb_, std::string(filled, '#'),
               std::string(kBarWidth - filled, '.'), amount);
  } else {
    fmt::print(out_, "{:<9} {}\n", verb_, amount);
  }
  std::fflush(out_);
}

}  // namespace kaito
