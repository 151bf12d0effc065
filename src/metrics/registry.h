#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace metrics {

/// Label names and values; values come from a bounded set.
using Labels = std::map<std::string, std::string>;

/// The media type of `Registry::text`.
inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

// Handles on one time series each: cheap to copy, valid as long as the registry, safe from many
// threads without a lock held.

class Counter {
 public:
  /// `by` is not negative.
  void increment(double by = 1) const;
  double value() const;

 private:
  friend class Registry;
  explicit Counter(prometheus::Counter& counter) : counter_(&counter) {}
  prometheus::Counter* counter_;
};

class Gauge {
 public:
  void set(double value) const;
  void add(double by) const;
  double value() const;

 private:
  friend class Registry;
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(&gauge) {}
  prometheus::Gauge* gauge_;
};

class Histogram {
 public:
  void observe(double value) const;

 private:
  friend class Registry;
  explicit Histogram(prometheus::Histogram& histogram) : histogram_(&histogram) {}
  prometheus::Histogram* histogram_;
};

/// Owns the time series of one program. Asking again for the same name and labels gives the same
/// series. Safe from many threads. Names and label names are constants of the program: an invalid
/// one, or one name used for two kinds, is a bug and ends the process.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  /// `upper_bounds` rise strictly; the bucket without a bound is added.
  Histogram histogram(const std::string& name, const std::string& help,
                      const std::vector<double>& upper_bounds, const Labels& labels = {});

  /// Every series in Prometheus' text format, those of one name in the order of their labels.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace metrics
