#include "apiserver/schema/pattern.h"

#include <re2/re2.h>

namespace apiserver {
namespace {

constexpr std::int64_t kMaxPatternMemoryBytes = 1 << 20;

RE2::Options options() {
  RE2::Options result;
  result.set_log_errors(false);
  result.set_max_mem(kMaxPatternMemoryBytes);
  return result;
}

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

base::Error bad_pattern(const RE2& compiled) {
  return base::Error(base::ErrorCode::Invalid, "invalid pattern: " + compiled.error());
}

}  // namespace

base::Result<bool> matches_pattern(std::string_view pattern, std::string_view text) {
  const RE2 compiled(piece(pattern), options());
  if (!compiled.ok()) return bad_pattern(compiled);
  return RE2::PartialMatch(piece(text), compiled);
}

base::Status check_pattern(std::string_view pattern) {
  const RE2 compiled(piece(pattern), options());
  if (!compiled.ok()) return bad_pattern(compiled);
  return {};
}

}  // namespace apiserver
