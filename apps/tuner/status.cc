#include "apps/tuner/status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace tuner {
namespace {

using tuning::Phase;
using tuning::Progress;

constexpr std::chrono::milliseconds kTextInterval{200};
constexpr std::chrono::milliseconds kJsonInterval{10'000};

}  // namespace

Status::Status(const Options& options) : style_(options.progress), metrics_(registry_) {}

Status::~Status() {
  if (line_open_) fmt::print(stderr, "\n");
}

base::Status Status::serve(const Options& options, const base::Logger& log) {
  server_ = TRY(net::HttpServer::create(
      {.address = options.host,
       .port = options.port,
       .max_connections = 16,
       .log = log.named("http")},
      [this](const base::Context&, net::HttpExchange& exchange) { answer(exchange); }));
  log.info("serving /metrics, /progress and /health", {{"port", server_->port()}});
  return {};
}

void Status::answer(net::HttpExchange& exchange) const {
  const std::string& path = exchange.request().target.path;
  net::HttpResponse response = net::HttpResponse::text(404, "not found\n");
  if (path == "/metrics") {
    response = net::HttpResponse::text(200, registry_.text());
    response.headers.set("Content-Type", std::string(metrics::kContentType));
  } else if (path == "/progress") {
    response = net::HttpResponse::json(
        200, progress_.with([](const Progress& now) { return tuning::to_json_line(now); }));
  } else if (path == "/health" || path == "/healthz") {
    response = net::HttpResponse::json(200, R"({"status":"Healthy"})");
  }
  (void)exchange.respond(std::move(response));
}

void Status::update(const Progress& progress) {
  const bool new_phase = progress_.with([&](Progress& now) {
    const bool changed = now.phase != progress.phase;
    now = progress;
    return changed;
  });
  metrics_.update(progress);
  const bool last = progress.total_steps > 0 && progress.step == progress.total_steps;
  print(progress, new_phase || last);
}

void Status::print(const Progress& progress, bool always) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = style_ == ProgressStyle::Text ? kTextInterval : kJsonInterval;
  if (!always && now - printed_ < interval) return;
  printed_ = now;
  if (style_ == ProgressStyle::Json) {
    fmt::print("{}\n", tuning::to_json_line(progress));
    std::fflush(stdout);
  } else if (style_ == ProgressStyle::Text) {
    // Erases what is left of a longer line.
    fmt::print(stderr, "\r{}\x1b[K", tuning::to_text(progress));
    line_open_ = true;
  }
}

void Status::enter(Phase phase) {
  Progress progress = progress_.with([](const Progress& now) { return now; });
  progress.phase = phase;
  update(progress);
}

void Status::fail(const std::string& message) {
  Progress progress = progress_.with([](const Progress& now) { return now; });
  progress.phase = Phase::Failed;
  progress.message = message;
  update(progress);
}

}  // namespace tuner
