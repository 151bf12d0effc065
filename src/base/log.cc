#include "base/log.h"

#include <unistd.h>

#include <iterator>

#include "base/clock.h"

namespace base {
namespace {

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warn:
      return "warn";
    case LogLevel::Error:
      return "error";
  }
  return "info";
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \"\n\t=") != std::string_view::npos;
}

}  // namespace

void LogSink::write(LogLevel level, std::string_view component, std::string_view message,
                    std::initializer_list<LogField> fields) {
  std::string line;
  const std::string time = format_rfc3339_micro(std::chrono::system_clock::now());
  if (options_.format == LogFormat::Json) {
    line += "{\"time\":";
    append_json_string(line, time);
    line += ",\"level\":";
    append_json_string(line, level_name(level));
    line += ",\"component\":";
    append_json_string(line, component);
    line += ",\"message\":";
    append_json_string(line, message);
    for (const LogField& field : fields) {
      line.push_back(',');
      append_json_string(line, field.key);
      line.push_back(':');
      append_json_string(line, field.value);
    }
    line += "}\n";
  } else {
    fmt::format_to(std::back_inserter(line), "{} {:<5} {}: {}", time, level_name(level), component,
                   message);
    for (const LogField& field : fields) {
      line.append(" ").append(field.key).push_back('=');
      if (needs_quotes(field.value)) {
        append_json_string(line, field.value);
      } else {
        line += field.value;
      }
    }
    line.push_back('\n');
  }
  // One write per line keeps lines whole; a failed write to the log has no better place to go.
  [[maybe_unused]] const auto written = ::write(options_.fd, line.data(), line.size());
}

}  // namespace base
