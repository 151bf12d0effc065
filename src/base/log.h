#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

namespace base {

enum class LogLevel { Debug, Info, Warn, Error };
enum class LogFormat { Text, Json };

/// One key and value of a log line. Values are formatted at once, so temporaries are safe.
struct LogField {
  template <class T>
  LogField(std::string_view field_key, const T& field_value)
      : key(field_key), value(fmt::format("{}", field_value)) {}
  std::string_view key;
  std::string value;
};

/// Writes whole lines to a file descriptor; safe to share between threads.
class LogSink {
 public:
  struct Options {
    int fd = 2;
    LogLevel level = LogLevel::Info;
    LogFormat format = LogFormat::Text;
  };
  explicit LogSink(Options options) : options_(options) {}
  virtual ~LogSink() = default;
  virtual void write(LogLevel level, std::string_view component, std::string_view message,
                     std::initializer_list<LogField> fields);
  bool enabled(LogLevel level) const { return level >= options_.level; }

 private:
  Options options_;
};

/// A cheap, copyable handle on a sink with the name of the component that writes.
/// Messages are constant text; what varies goes into the fields:
/// `log.info("node launched", {{"nodeClaim", name}, {"zone", zone}})`.
class Logger {
 public:
  /// Discards everything.
  Logger() = default;
  Logger(std::shared_ptr<LogSink> sink, std::string component)
      : sink_(std::move(sink)), component_(std::move(component)) {}

  Logger named(std::string component) const { return Logger(sink_, std::move(component)); }

  using Fields = std::initializer_list<LogField>;
  void debug(std::string_view message, Fields fields = {}) const {
    write(LogLevel::Debug, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) const {
    write(LogLevel::Info, message, fields);
  }
  void warn(std::string_view message, Fields fields = {}) const {
    write(LogLevel::Warn, message, fields);
  }
  void error(std::string_view message, Fields fields = {}) const {
    write(LogLevel::Error, message, fields);
  }

 private:
  void write(LogLevel level, std::string_view message, Fields fields) const {
    if (sink_ && sink_->enabled(level)) sink_->write(level, component_, message, fields);
  }

  std::shared_ptr<LogSink> sink_;
  std::string component_;
};

}  // namespace base
