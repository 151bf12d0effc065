#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace nodeagent {

/// Writes container output in CRI form, `<rfc3339nano> stdout F line`, to one file and moves it to
/// `<name>.1` when it is full. Works on a directory descriptor, so that it survives pivot_root.
/// Not thread-safe. A full disk loses lines, never the container: the failure is counted.
class LogWriter {
 public:
  static base::Result<LogWriter> open(const std::string& directory, const std::string& name,
                                      std::int64_t max_bytes);

  enum class Stream { Stdout, Stderr };
  /// Bytes as they come from the pipe; whole lines are written, the rest waits for its end.
  void append(Stream stream, std::string_view bytes);
  /// Writes unfinished lines.
  void finish();
  std::uint64_t lost_lines() const { return lost_lines_; }

 private:
  LogWriter(base::UniqueFd directory, base::UniqueFd file, std::string name, std::int64_t max_bytes,
            std::int64_t size_bytes);
  void write_line(Stream stream, std::string_view line, bool partial);
  void flush();
  void rotate();

  base::UniqueFd directory_;
  base::UniqueFd file_;
  std::string name_;
  std::int64_t max_bytes_;
  std::int64_t size_bytes_;
  std::string waiting_[2];
  std::string out_;
  std::uint64_t out_lines_ = 0;
  std::uint64_t lost_lines_ = 0;
};

}  // namespace nodeagent
