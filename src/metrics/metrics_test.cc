#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "metrics/registry.h"

namespace metrics {
namespace {

using testing::HasSubstr;

TEST(Registry, TheSameNameAndLabelsAreOneSeries) {
  Registry registry;
  registry.counter("kaito_requests_total", "Requests.", {{"code", "200"}}).increment();
  registry.counter("kaito_requests_total", "Requests.", {{"code", "200"}}).increment(2);
  registry.counter("kaito_requests_total", "Requests.", {{"code", "500"}}).increment();
  EXPECT_EQ(registry.counter("kaito_requests_total", "Requests.", {{"code", "200"}}).value(), 3);
  EXPECT_EQ(registry.text(),
            "# HELP kaito_requests_total Requests.\n"
            "# TYPE kaito_requests_total counter\n"
            "kaito_requests_total{code=\"200\"} 3\n"
            "kaito_requests_total{code=\"500\"} 1\n");
}

TEST(Registry, GaugesMoveBothWays) {
  Registry registry;
  const Gauge gauge = registry.gauge("vllm:num_requests_running", "Running.");
  gauge.set(5);
  gauge.add(-2);
  EXPECT_EQ(gauge.value(), 3);
  EXPECT_THAT(registry.text(), HasSubstr("\nvllm:num_requests_running 3\n"));
}

TEST(Registry, HistogramsCountBelowTheirBounds) {
  Registry registry;
  const Histogram seconds = registry.histogram("wait_seconds", "Waits.", {0.1, 1.0});
  for (const double value : {0.05, 0.5, 0.7, 3.0}) seconds.observe(value);
  const std::string text = registry.text();
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{le=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_count 4\n"));
}

TEST(Registry, LabelValuesAreEscaped) {
  Registry registry;
  registry.counter("c_total", "C.", {{"path", "a\"b\\c\nd"}}).increment();
  EXPECT_THAT(registry.text(), HasSubstr(R"(c_total{path="a\"b\\c\nd"} 1)"));
}

TEST(Registry, ThreadsMayCountAtOnce) {
  Registry registry;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&registry] {
        for (int i = 0; i < 1'000; ++i) registry.counter("n_total", "N.").increment();
      });
    }
  }
  EXPECT_EQ(registry.counter("n_total", "N.").value(), 4'000);
}

TEST(RegistryDeathTest, AnInvalidNameIsABug) {
  Registry registry;
  EXPECT_DEATH(registry.counter("1 bad", "B."), "names are valid");
  registry.counter("taken", "C.");
  EXPECT_DEATH(registry.gauge("taken", "G."), "one kind");
}

}  // namespace
}  // namespace metrics
