#pragma once

#include <chrono>
#include <cstddef>

/// Every bound of the client side. The comment says what happens beyond.
namespace kube {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// One frame of a watch; a larger one ends the watch with Invalid.
inline constexpr std::size_t kMaxWatchFrameBytes = 16 << 20;
/// One object or one answer that is no list; a larger one is Invalid.
inline constexpr std::size_t kMaxObjectBytes = 16 << 20;
/// How deep a document of the server may nest. OpenAPI schemas inside CRDs reach about 90.
inline constexpr std::size_t kMaxDocumentDepth = 256;
/// What is kept of the body of an error answer.
inline constexpr std::size_t kMaxErrorBodyBytes = 64 << 10;
/// How often one request waits for Retry-After before the error is handed to the caller.
inline constexpr int kMaxThrottleWaits = 10;
/// A longer Retry-After is handed to the caller at once.
inline constexpr milliseconds kMaxRetryAfter{60'000};
/// For one request that is neither a watch nor streamed raw bytes; then Timeout.
inline constexpr seconds kRequestTimeout{60};
inline constexpr seconds kListTimeout{300};
/// How long a bearer token read from a file is used before the file is read again.
inline constexpr seconds kTokenFileAge{10};
inline constexpr std::size_t kMaxKubeconfigBytes = 4 << 20;

/// Pauses between failed lists or watches of a reflector: doubling, with jitter.
inline constexpr milliseconds kReflectorBackoffMin{200};
inline constexpr milliseconds kReflectorBackoffMax{30'000};
/// How often an expired continue token restarts a paged list before it is listed in one page.
inline constexpr int kMaxListRestarts = 2;

/// Events waiting to be sent; the newest is dropped beyond.
inline constexpr std::size_t kMaxQueuedEvents = 1000;
/// Events remembered so that equal ones raise a count; the oldest is forgotten beyond.
inline constexpr std::size_t kMaxRememberedEvents = 1024;
inline constexpr std::chrono::minutes kEventAggregation{10};
/// Attempts to send one event before it is dropped.
inline constexpr int kMaxEventAttempts = 3;
/// How long a recorder that ends goes on sending what waits.
inline constexpr milliseconds kEventDrainLimit{1000};
/// Kubernetes refuses longer event messages; the rest is cut off.
inline constexpr std::size_t kMaxEventMessageBytes = 1024;

}  // namespace kube
