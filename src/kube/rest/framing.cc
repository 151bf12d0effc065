#include "kube/rest/framing.h"

#include <fmt/format.h>

namespace kube {
namespace {

base::Error too_large(std::string_view what, std::size_t limit_bytes) {
  return {base::ErrorCode::Invalid, fmt::format("{} larger than {} bytes", what, limit_bytes)};
}

base::Error not_an_object() {
  return {base::ErrorCode::Invalid, "the list has an item that is no object"};
}

}  // namespace

base::Status LineSplitter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (rest_.size() + part.size() > limit_bytes_) return too_large("a line", limit_bytes_);
    if (end == std::string_view::npos) {
      rest_.append(part);
      return {};
    }
    bytes.remove_prefix(end + 1);
    if (rest_.empty()) {
      TRY(emit(part));
      continue;
    }
    rest_.append(part);
    TRY(emit(rest_));
    rest_.clear();
  }
  return {};
}

base::Status LineSplitter::emit(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line.empty() ? base::Status() : on_line_(line);
}

base::Status ListSplitter::feed(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (in_string_ && !escaped_) {
      // Most bytes of a list are inside strings: take them in one piece.
      const std::size_t stop = bytes.find_first_of("\"\\", at);
      const std::string_view plain =
          bytes.substr(at, stop == std::string_view::npos ? stop : stop - at);
      std::string& target = in_items_ ? item_ : envelope_;
      if (target.size() + plain.size() > limit_bytes_) return too_large("an item", limit_bytes_);
      target.append(plain);
      if (!in_items_ && depth_ == 1) key_.append(plain);
      at += plain.size();
      if (at == bytes.size()) return {};
    }
    TRY(step(bytes[at]));
  }
  return {};
}

base::Status ListSplitter::step(char c) {
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return append(c);
  }
  const bool between_items = in_items_ && depth_ == 2;
  if (between_items && (c == '"' || c == '[')) return not_an_object();
  switch (c) {
    case '"':
      in_string_ = true;
      if (depth_ == 1) key_.clear();
      return append(c);
    case '{':
    case '[':
    case '}':
    case ']':
      return open_or_close(c);
    default:
      // Between the elements stand only blanks and commas.
      if (between_items) {
        if (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n') return {};
        return not_an_object();
      }
      return append(c);
  }
}

base::Status ListSplitter::open_or_close(char c) {
  const bool opens = c == '{' || c == '[';
  if (opens) {
    const bool starts_items = !in_items_ && depth_ == 1 && c == '[' && key_ == "items";
    TRY(append(c));
    ++depth_;
    if (starts_items) in_items_ = true;
    return {};
  }
  --depth_;
  if (in_items_ && depth_ == 1) {
    in_items_ = false;
    key_.clear();
    return append(c);
  }
  TRY(append(c));
  if (in_items_ && depth_ == 2) {
    TRY(on_item_(item_));
    item_.clear();
  }
  return {};
}

base::Status ListSplitter::append(char c) {
  std::string& target = in_items_ ? item_ : envelope_;
  if (target.size() >= limit_bytes_) return too_large("an item", limit_bytes_);
  target.push_back(c);
  return {};
}

}  // namespace kube
