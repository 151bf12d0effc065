#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"

namespace apiserver {

struct PodLogRequest {
  std::string ns{};
  std::string pod{};
  std::string uid{};
  std::string container{};
  bool follow = false;
  bool previous = false;    ///< The container's run before the present one.
  bool timestamps = false;  ///< Start each line with its RFC 3339 time.
  std::optional<std::int64_t> tail_lines{};
  std::optional<std::int64_t> since_seconds{};
  std::string since_time{};  ///< RFC 3339; "" for no bound.
  std::optional<std::int64_t> limit_bytes{};
};

/// Where the output of containers comes from; called on request threads, several at once.
class PodLogs {
 public:
  virtual ~PodLogs() = default;
  /// Takes a piece of output; "" only asks whether somebody still reads. Errors: Cancelled when the
  /// client has gone.
  using Sink = std::function<base::Status(std::string_view piece)>;
  /// Hands over what the request asks for, in order. With `follow` it goes on until the container
  /// ends for good, and calls `sink` (with "" if need be) at least once a second.
  /// Errors: those of `sink`; NotFound when the container has not written yet: the message says
  /// why.
  virtual base::Status stream(const base::Context& ctx, const PodLogRequest& request,
                              const Sink& sink) = 0;
};

}  // namespace apiserver
