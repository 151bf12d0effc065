#pragma once

#include <chrono>
#include <cstddef>

namespace inference {

/// Of one request.
inline constexpr std::size_t kMaxBodyBytes = 4 << 20;
inline constexpr std::size_t kMaxJsonDepth = 32;
inline constexpr std::size_t kMaxMessages = 2048;
inline constexpr std::size_t kMaxPrompts = 16;
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopBytes = 256;
inline constexpr std::size_t kMaxLogitBiases = 1024;
inline constexpr std::size_t kMaxSchemaBytes = 64 << 10;
inline constexpr int kMaxChoices = 8;
inline constexpr int kMaxTopLogprobs = 20;

/// How often a handler that waits for a whole answer looks whether its client is still there.
inline constexpr std::chrono::milliseconds kClientCheck{100};
/// Tokens handed over at once when nothing is streamed, and when a stop string may end the answer.
inline constexpr int kWholeAnswerChunk = 16;
inline constexpr int kStopStringChunk = 4;
/// What a client is told to wait while the model loads.
inline constexpr std::chrono::seconds kLoadingRetryAfter{1};

}  // namespace inference
