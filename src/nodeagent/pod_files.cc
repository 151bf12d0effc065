#include "nodeagent/pod_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "nodeagent/limits.h"

namespace nodeagent {
namespace {

/// Up to `limit` bytes from the end of a file.
std::string read_end(const std::string& path, std::size_t limit) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(limit));
  std::string text(limit, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

/// The words of a CRI log line: what follows the third space.
std::string_view words_of(std::string_view line) {
  for (int i = 0; i < 3; ++i) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  return line;
}

std::string last_log_lines(const std::string& log_file) {
  // Times and tags take about 40 bytes a line; read enough for the lines that are kept.
  const std::string text =
      read_end(log_file, kMaxTerminationLogBytes + kMaxTerminationLogLines * 48);
  std::vector<std::string_view> lines;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    lines.push_back(words_of(rest.substr(0, end)));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  std::string message;
  for (std::size_t i = lines.size(); i > 0 && lines.size() - i < kMaxTerminationLogLines; --i) {
    if (message.size() + lines[i - 1].size() + 1 > kMaxTerminationLogBytes) break;
    message.insert(0, std::string(lines[i - 1]) + "\n");
  }
  return message;
}

}  // namespace

std::string termination_message(const std::string& message_file, const std::string& log_file,
                                bool failed) {
  std::string message = read_end(message_file, kMaxTerminationMessageBytes);
  if (message.empty() && failed) message = last_log_lines(log_file);
  if (base::is_utf8(message)) return message;
  for (char& c : message) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return message;
}

void remove_old_logs(const std::string& container_dir, int restart) {
  const int oldest_kept = restart - (kKeptAttempts - 1);
  std::error_code error;
  for (int old = oldest_kept - 1; old >= 0; --old) {
    const std::string log = container_dir + "/" + PodFiles::log_name(old);
    std::filesystem::remove(log + ".1", error);
    if (!std::filesystem::remove(log, error)) return;
  }
}

}  // namespace nodeagent
