#include "inference/text/text_assembler.h"

#include <algorithm>

#include "base/encoding.h"

namespace inference {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::size_t kMaxCharacterBytes = 4;

std::size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// How many bytes at the end of `text` begin a character that is not whole.
std::size_t incomplete_tail(std::string_view text) {
  const std::size_t most = std::min(text.size(), kMaxCharacterBytes - 1);
  for (std::size_t back = 1; back <= most; ++back) {
    const char c = text[text.size() - back];
    if (is_continuation(c)) continue;
    return character_length(static_cast<unsigned char>(c)) > back ? back : 0;
  }
  return 0;
}

/// How many bytes at the end of `text` could begin one of `stops`.
std::size_t possible_stop(std::string_view text, const std::vector<std::string>& stops) {
  std::size_t longest = 0;
  for (const std::string& stop : stops) {
    for (std::size_t length = std::min(stop.size() - 1, text.size()); length > longest; --length) {
      if (text.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  if (base::is_utf8(bytes)) return std::string(bytes);
  std::string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = character_length(static_cast<unsigned char>(bytes[at]));
    if (length > 0 && base::is_utf8(bytes.substr(at, length)) && at + length <= bytes.size()) {
      text.append(bytes.substr(at, length));
      at += length;
      continue;
    }
    text.append(kReplacement);
    ++at;
    // One mark for a broken character, not one for each of its bytes.
    for (std::size_t rest = 1; rest < length && at < bytes.size() && is_continuation(bytes[at]);
         ++rest)
      ++at;
  }
  return text;
}

TextAssembler::TextAssembler(std::vector<std::string> stop_strings)
    : stop_strings_(std::move(stop_strings)) {
  std::erase(stop_strings_, "");
}

std::string TextAssembler::push(std::string_view bytes) {
  if (stopped_) return {};
  held_.append(bytes);
  std::size_t first = std::string::npos;
  for (const std::string& stop : stop_strings_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    std::string text = to_utf8(std::string_view(held_).substr(0, first));
    held_.clear();
    return text;
  }
  const std::size_t shown = held_.size() - possible_stop(held_, stop_strings_);
  return release(shown - incomplete_tail(std::string_view(held_).substr(0, shown)));
}

std::string TextAssembler::finish() { return release(held_.size()); }

std::string TextAssembler::release(std::size_t bytes) {
  std::string text = to_utf8(std::string_view(held_).substr(0, bytes));
  held_.erase(0, bytes);
  return text;
}

}  // namespace inference
