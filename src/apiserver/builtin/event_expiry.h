#pragma once

#include <cstddef>

#include "apiserver/store/store.h"
#include "base/clock.h"

namespace apiserver {

/// How long an event stays after it was last seen, as in Kubernetes.
inline constexpr std::chrono::hours kEventLifetime{1};

/// Removes the events whose time is over; returns how many.
std::size_t expire_events(Store& store, base::SystemTime now);

}  // namespace apiserver
