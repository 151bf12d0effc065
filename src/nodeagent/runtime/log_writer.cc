#include "nodeagent/runtime/log_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "nodeagent/limits.h"

namespace nodeagent {
namespace {

constexpr mode_t kLogMode = 0640;

/// RFC 3339 with nanoseconds, as the container runtime interface wants it.
std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec);
}

}  // namespace

base::Result<LogWriter> LogWriter::open(const std::string& directory, const std::string& name,
                                        std::int64_t max_bytes) {
  base::UniqueFd dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return base::system_error("opening log directory " + directory, errno);
  base::UniqueFd file(
      ::openat(dir.get(), name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kLogMode));
  if (!file) return base::system_error("opening log " + directory + "/" + name, errno);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0)
    return base::system_error("reading the size of a log", errno);
  return LogWriter(std::move(dir), std::move(file), name, max_bytes, info.st_size);
}

LogWriter::LogWriter(base::UniqueFd directory, base::UniqueFd file, std::string name,
                     std::int64_t max_bytes, std::int64_t size_bytes)
    : directory_(std::move(directory)),
      file_(std::move(file)),
      name_(std::move(name)),
      max_bytes_(max_bytes),
      size_bytes_(size_bytes) {}

void LogWriter::append(Stream stream, std::string_view bytes) {
  std::string& waiting = waiting_[stream == Stream::Stdout ? 0 : 1];
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::size_t take = end == std::string_view::npos ? bytes.size() : end;
    waiting.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    while (waiting.size() > kMaxLogLineBytes) {
      write_line(stream, std::string_view(waiting).substr(0, kMaxLogLineBytes), true);
      waiting.erase(0, kMaxLogLineBytes);
    }
    if (end != std::string_view::npos) {
      write_line(stream, waiting, false);
      waiting.clear();
      bytes.remove_prefix(1);
    }
  }
  flush();
}

void LogWriter::finish() {
  for (const Stream stream : {Stream::Stdout, Stream::Stderr}) {
    std::string& waiting = waiting_[stream == Stream::Stdout ? 0 : 1];
    if (!waiting.empty()) write_line(stream, waiting, false);
    waiting.clear();
  }
  flush();
}

void LogWriter::write_line(Stream stream, std::string_view line, bool partial) {
  out_ += timestamp();
  out_ += stream == Stream::Stdout ? " stdout " : " stderr ";
  out_ += partial ? "P " : "F ";
  out_ += line;
  out_ += '\n';
  ++out_lines_;
  const bool is_full =
      max_bytes_ > 0 && size_bytes_ + static_cast<std::int64_t>(out_.size()) >= max_bytes_;
  if (is_full || out_.size() > (std::size_t{64} << 10)) flush();
}

void LogWriter::flush() {
  if (out_.empty()) return;
  if (max_bytes_ > 0 && size_bytes_ > 0 &&
      size_bytes_ + static_cast<std::int64_t>(out_.size()) > max_bytes_) {
    rotate();
  }
  if (file_ && base::write_all(file_.get(), out_)) {
    size_bytes_ += static_cast<std::int64_t>(out_.size());
  } else {
    lost_lines_ += out_lines_;
  }
  out_.clear();
  out_lines_ = 0;
}

void LogWriter::rotate() {
  const std::string older = name_ + ".1";
  if (::renameat(directory_.get(), name_.c_str(), directory_.get(), older.c_str()) != 0) return;
  base::UniqueFd fresh(::openat(directory_.get(), name_.c_str(),
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kLogMode));
  if (!fresh) return;
  file_ = std::move(fresh);
  size_bytes_ = 0;
}

}  // namespace nodeagent
