#include "nodeagent/pod_logs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 64 << 10;
/// Longest wait between looks at a file that is followed; inotify wakes sooner.
constexpr int kFollowWaitMs = 500;

/// The restarts a container has logs of, newest first.
std::vector<int> restarts_in(const std::string& directory) {
  std::vector<int> restarts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    int number = 0;
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (failed == std::errc() && std::string_view(end) == ".log") restarts.push_back(number);
  }
  std::ranges::sort(restarts, std::greater());
  return restarts;
}

/// One line of a CRI log.
struct LogLine {
  std::string_view time;
  bool partial = false;
  std::string_view text;
};

std::optional<LogLine> parse_line(std::string_view line) {
  const std::size_t time_end = line.find(' ');
  if (time_end == std::string_view::npos) return std::nullopt;
  const std::size_t stream_end = line.find(' ', time_end + 1);
  if (stream_end == std::string_view::npos || stream_end + 2 >= line.size()) return std::nullopt;
  return LogLine{line.substr(0, time_end), line[stream_end + 1] == 'P',
                 line.substr(stream_end + 3)};
}

/// Turns log lines into what the client asked for.
class Formatter {
 public:
  Formatter(const apiserver::PodLogRequest& request, std::string since,
            const apiserver::PodLogs::Sink& sink)
      : request_(request), since_(std::move(since)), sink_(sink), left_(request.limit_bytes) {}

  /// False when the client has all it asked for.
  base::Result<bool> line(std::string_view raw) {
    const std::optional<LogLine> line = parse_line(raw);
    // Both are UTC with fixed fields, so text order is time order.
    if (!line || line->time < since_) return true;
    if (request_.timestamps && at_line_start_) out_ += fmt::format("{} ", line->time);
    out_ += line->text;
    if (!line->partial) out_ += '\n';
    at_line_start_ = !line->partial;
    if (out_.size() >= kReadBytes) return flush();
    return true;
  }

  base::Result<bool> flush() {
    if (left_ && static_cast<std::int64_t>(out_.size()) >= *left_) {
      TRY(sink_(std::string_view(out_).substr(0, static_cast<std::size_t>(*left_))));
      out_.clear();
      return false;
    }
    if (left_) *left_ -= static_cast<std::int64_t>(out_.size());
    if (!out_.empty()) TRY(sink_(out_));
    out_.clear();
    return true;
  }

 private:
  const apiserver::PodLogRequest& request_;
  std::string since_;
  const apiserver::PodLogs::Sink& sink_;
  std::optional<std::int64_t> left_;
  std::string out_;
  bool at_line_start_ = true;
};

/// Reads whole lines of one file from a position on.
class LineReader {
 public:
  explicit LineReader(base::UniqueFd file) : file_(std::move(file)) {}

  /// Everything that is there now. False when the client has enough.
  base::Result<bool> read_available(Formatter& formatter) {
    std::array<char, kReadBytes> buffer{};
    while (true) {
      const ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::system_error("reading a log", errno);
      if (got == 0) break;
      waiting_.append(buffer.data(), static_cast<std::size_t>(got));
      std::size_t begin = 0;
      for (std::size_t end; (end = waiting_.find('\n', begin)) != std::string::npos;
           begin = end + 1) {
        const bool more =
            TRY(formatter.line(std::string_view(waiting_).substr(begin, end - begin)));
        if (!more) return false;
      }
      waiting_.erase(0, begin);
    }
    return formatter.flush();
  }

  /// Goes to the beginning of the last `lines` lines.
  void seek_tail(std::int64_t lines) {
    off_t at = ::lseek(file_.get(), 0, SEEK_END);
    std::array<char, kReadBytes> buffer{};
    std::int64_t seen = 0;
    while (at > 0) {
      const off_t from = std::max<off_t>(0, at - static_cast<off_t>(buffer.size()));
      const ssize_t got =
          ::pread(file_.get(), buffer.data(), static_cast<std::size_t>(at - from), from);
      if (got <= 0) break;
      for (ssize_t i = got - 1; i >= 0; --i) {
        if (buffer[static_cast<std::size_t>(i)] != '\n' || ++seen <= lines) continue;
        ::lseek(file_.get(), from + i + 1, SEEK_SET);
        return;
      }
      at = from;
    }
    ::lseek(file_.get(), 0, SEEK_SET);
  }

  bool is_file(const struct stat& other) const {
    struct stat own{};
    return ::fstat(file_.get(), &own) == 0 && own.st_ino == other.st_ino &&
           own.st_dev == other.st_dev;
  }

 private:
  base::UniqueFd file_;
  std::string waiting_;
};

base::UniqueFd open_log(const std::string& path) {
  return base::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

/// Waits until something happens in a directory, or a moment.
class DirectoryWatch {
 public:
  explicit DirectoryWatch(const std::string& directory)
      : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    ::inotify_add_watch(fd_.get(), directory.c_str(),
                        IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF);
  }
  void wait() const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, kFollowWaitMs) <= 0) return;
    std::array<char, 4096> events{};
    while (::read(fd_.get(), events.data(), events.size()) > 0) {
    }
  }

 private:
  base::UniqueFd fd_;
};

/// The earliest time wanted, as a text that compares with the log's; "" for all of it.
base::Result<std::string> since_of(const apiserver::PodLogRequest& request) {
  base::SystemTime since;
  if (request.since_seconds) {
    since = std::chrono::system_clock::now() - std::chrono::seconds(*request.since_seconds);
  } else if (!request.since_time.empty()) {
    since = TRY(base::with_context(base::parse_rfc3339(request.since_time), "sinceTime"));
  } else {
    return std::string();
  }
  std::string text = base::format_rfc3339_micro(since);
  text.pop_back();  // The log has nanoseconds: without its Z this is a prefix of equal times.
  return text;
}

base::Error no_log(const apiserver::PodLogRequest& request) {
  if (request.previous) {
    return {base::ErrorCode::NotFound,
            fmt::format("previous terminated container \"{}\" in pod \"{}\" not found",
                        request.container, request.pod)};
  }
  return {base::ErrorCode::NotFound,
          fmt::format("container \"{}\" in pod \"{}\" has not started yet, so it has no log",
                      request.container, request.pod)};
}

}  // namespace

base::Status FileLogs::stream(const base::Context& ctx, const apiserver::PodLogRequest& request,
                              const Sink& sink) {
  const std::string directory = deps_.files.container_dir(request.uid, request.container);
  const std::vector<int> restarts = restarts_in(directory);
  const std::size_t which = request.previous ? 1 : 0;
  if (restarts.size() <= which) return no_log(request);
  const int restart = restarts[which];
  const std::string path = directory + "/" + PodFiles::log_name(restart);
  const DirectoryWatch watch(directory);
  const std::string since = TRY(since_of(request));
  Formatter formatter(request, since, sink);
  base::UniqueFd file = open_log(path);
  if (!file) return no_log(request);
  LineReader reader(std::move(file));
  if (request.tail_lines) {
    reader.seek_tail(*request.tail_lines);
  } else if (base::UniqueFd older = open_log(path + ".1")) {
    LineReader older_reader(std::move(older));
    const bool more = TRY(older_reader.read_available(formatter));
    if (!more) return {};
  }
  while (true) {
    // Asked before reading, so that what a finished run wrote last is read below.
    const bool goes_on = request.follow && !request.previous &&
                         deps_.is_running(request.uid, request.container, restart);
    const bool more = TRY(reader.read_available(formatter));
    if (!more || !goes_on) return {};
    struct stat current{};
    if (::stat(path.c_str(), &current) == 0 && !reader.is_file(current)) {
      // Rotated: the old file is read to its end, the new one from its beginning.
      const bool rest = TRY(reader.read_available(formatter));
      if (!rest) return {};
      if (base::UniqueFd fresh = open_log(path)) reader = LineReader(std::move(fresh));
      continue;
    }
    watch.wait();
    TRY(ctx.check());
    TRY(sink(""));
  }
}

}  // namespace nodeagent
