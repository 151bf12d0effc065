#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kube {

/// Cuts a stream of bytes into lines, however the network chunked it. One thread.
class LineSplitter {
 public:
  using OnLine = std::function<base::Status(std::string_view line)>;
  /// Lines longer than `limit_bytes` are refused.
  LineSplitter(std::size_t limit_bytes, OnLine on_line)
      : limit_bytes_(limit_bytes), on_line_(std::move(on_line)) {}

  /// Calls `on_line` for every line that is complete, without its end; empty lines are skipped.
  /// Errors: Invalid for a line that is too long; those of `on_line`.
  base::Status feed(std::string_view bytes);
  /// Whether the stream ended inside a line.
  bool has_rest() const { return !rest_.empty(); }

 private:
  base::Status emit(std::string_view line);

  std::size_t limit_bytes_;
  OnLine on_line_;
  std::string rest_;
};

/// Takes the elements out of the `items` array of a list while it arrives, so that a list of any
/// length needs the memory of one element. One thread.
class ListSplitter {
 public:
  using OnItem = std::function<base::Status(std::string_view json)>;
  ListSplitter(std::size_t limit_bytes, OnItem on_item)
      : limit_bytes_(limit_bytes), on_item_(std::move(on_item)) {}

  /// Errors: Invalid for an element that is no object or larger than the limit; those of `on_item`.
  base::Status feed(std::string_view bytes);
  /// The document with `items` empty; to be parsed when the stream ended.
  const std::string& envelope() const { return envelope_; }

 private:
  base::Status step(char c);
  base::Status open_or_close(char c);
  base::Status append(char c);

  std::size_t limit_bytes_;
  OnItem on_item_;
  std::string envelope_;
  std::string item_;
  std::string key_;  ///< The last string at the top level.
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool in_items_ = false;
};

}  // namespace kube
