// kaito-server: binds its port, loads the model, serves it until SIGTERM.

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/server/memory.h"
#include "apps/server/options.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/queue.h"
#include "base/signals.h"
#include "inference/adapters/adapter_manager.h"
#include "inference/adapters/engine_loader.h"
#include "inference/adapters/image_source.h"
#include "inference/engine/decoder.h"
#include "inference/engine/fatal.h"
#include "inference/engine/model.h"
#include "inference/http/service.h"
#include "inference/scheduler/scheduler.h"
#include "metrics/registry.h"
#include "net/http_server.h"

namespace server {
namespace {

constexpr int kDefaultContextTokens = 8192;
constexpr int kDefaultParallel = 32;
constexpr std::uint64_t kCacheMemoryShare = 4;  // A quarter.
constexpr std::uint64_t kLeastContextTokens = 512;
/// Up to so many slots, one context's worth of cache is enough.
constexpr int kFewSlots = 4;
constexpr std::size_t kConnectionsBesideRequests = 64;
constexpr std::chrono::seconds kDrainLimit{20};
constexpr const char* kTerminationLog = "/dev/termination-log";

/// The last line of a failed start, for the log, and for Kubernetes to show in the pod's status.
int fail(const std::string& message) {
  fmt::print(stderr, "error: {}\n", message);
  if (const base::UniqueFd log(::open(kTerminationLog, O_WRONLY | O_TRUNC | O_CLOEXEC)); log)
    (void)base::write_all(log.get(), message + "\n");
  return 1;
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

/// Replaces what was left to choose, now that the model is known.
Options decide(Options options, const inference::Model& model) {
  const int trained = model.context_tokens();
  // The cache may take its share of the free memory, when nobody says otherwise.
  const std::uint64_t affordable = available_memory_bytes() / kCacheMemoryShare /
                                   std::max<std::uint64_t>(model.cache_bytes_per_token(), 1);
  const int budget =
      static_cast<int>(std::clamp<std::uint64_t>(affordable, kLeastContextTokens, 1 << 26));
  if (options.ctx_size == 0) options.ctx_size = std::min({trained, kDefaultContextTokens, budget});
  options.ctx_size = std::min(options.ctx_size, trained);
  if (options.parallel == 0) options.parallel = kDefaultParallel;
  if (options.cache_tokens == 0)
    options.cache_tokens =
        std::min(options.ctx_size * (options.parallel > kFewSlots ? 2 : 1), budget);
  options.cache_tokens = std::max(options.cache_tokens, options.ctx_size);
  if (options.threads == 0) options.threads = usable_processors();
  return options;
}

struct Loaded {
  std::unique_ptr<inference::Model> model;
  std::unique_ptr<inference::Decoder> decoder;
  Options options;
};

base::Result<Loaded> load(const std::stop_token& stop, const Options& options,
                          const std::filesystem::path& file, const base::Logger& log) {
  Loaded loaded;
  loaded.model = TRY(inference::Model::load(stop, {.path = file,
                                                   .use_chat_template = options.use_chat_template,
                                                   .check_tensors = options.check_tensors,
                                                   .log = log.named("model")}));
  loaded.options = decide(options, *loaded.model);
  const Options& decided = loaded.options;
  loaded.decoder = TRY(inference::Decoder::create(
      *loaded.model, {.cache_tokens = decided.cache_tokens,
                      .sequences = decided.parallel,
                      .batch_tokens = std::max(decided.batch_size, decided.parallel),
                      .outputs = decided.parallel,
                      .threads = decided.threads}));
  return loaded;
}

void log_ready(const base::Logger& log, const Loaded& loaded, const std::string& name,
               std::chrono::steady_clock::time_point started) {
  const auto took = std::chrono::steady_clock::now() - started;
  log.info("serving",
           {{"model", name},
            {"kind", loaded.model->description()},
            {"weightsMiB", loaded.model->weights_bytes() >> 20},
            {"contextTokens", loaded.options.ctx_size},
            {"cacheTokens", loaded.options.cache_tokens},
            {"parallel", loaded.options.parallel},
            {"threads", loaded.options.threads},
            {"kernels", inference::Decoder::matmul_kernels()},
            {"chatTemplate", loaded.model->has_chat_template()},
            {"startMs", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

/// The parts that fetch and load adapters.
struct Adapters {
  Adapters(const Options& options, const std::filesystem::path& model_file,
           inference::Scheduler& scheduler, inference::AdapterChoices& choices,
           metrics::Registry& registry, base::Clock& clock, const base::Logger& log)
      : source({.cache = cache_folder(options), .credentials = options.adapters_auth}),
        loader(model_file, scheduler),
        manager({.fixed = options.adapters, .file = options.adapters_file},
                {.choices = choices,
                 .source = source,
                 .loader = loader,
                 .metrics = registry,
                 .clock = clock,
                 .log = log.named("adapters")}) {}

  static std::filesystem::path cache_folder(const Options& options) {
    if (!options.adapters_cache.empty()) return options.adapters_cache;
    return std::filesystem::temp_directory_path() / fmt::format("kaito-adapters-{}", ::getpid());
  }

  inference::ImageAdapterSource source;
  inference::EngineAdapterLoader loader;
  inference::AdapterManager manager;
};

int run(const Options& options) {
  const auto started = std::chrono::steady_clock::now();
  base::Queue<int> signals(1);
  std::stop_source stop;
  base::SignalWatcher watcher([&](int signal) {
    stop.request_stop();
    (void)signals.try_push(signal);
  });
  const base::Logger log(std::make_shared<base::LogSink>(base::LogSink::Options{
                             .level = options.log_level, .format = options.log_format}),
                         "server");
  inference::end_process_on_engine_failure([](const char* message) { std::_Exit(fail(message)); });

  const auto file = find_model_file(options.model);
  if (!file) return fail(file.error().message());
  std::atomic<const inference::Service*> service{nullptr};
  auto http =
      net::HttpServer::create({.address = options.host,
                               .port = options.port,
                               .max_connections = options.max_queue + kConnectionsBesideRequests,
                               .log = log.named("http")},
                              [&](const base::Context& ctx, net::HttpExchange& exchange) {
                                if (const inference::Service* ready = service.load())
                                  return ready->handle(ctx, exchange);
                                inference::answer_while_loading(exchange);
                              });
  if (!http) return fail(http.error().message());
  log.info("loading the model", {{"file", file->string()}, {"port", (*http)->port()}});

  auto loaded = load(stop.get_token(), options, *file, log);
  if (!loaded && stop.stop_requested()) return 0;
  if (!loaded) return fail(loaded.error().message());
  const std::string name =
      options.served_model_name.empty() ? file->stem().string() : options.served_model_name;
  base::RealClock clock;
  metrics::Registry registry;
  inference::ServingMetrics metrics(registry, name);
  inference::Scheduler scheduler({.context_tokens = loaded->options.ctx_size,
                                  .max_queue = options.max_queue,
                                  .tune_threads = !options.fixed_threads},
                                 {.model = *loaded->model,
                                  .decoder = *loaded->decoder,
                                  .metrics = metrics,
                                  .clock = clock,
                                  .log = log.named("scheduler")});
  scheduler.start();
  inference::AdapterChoices choices(name);
  Adapters adapters(options, *file, scheduler, choices, registry, clock, log);
  const inference::Service ready({.model = *loaded->model,
                                  .scheduler = scheduler,
                                  .registry = registry,
                                  .clock = clock,
                                  .choices = choices,
                                  .version = KAITO_VERSION,
                                  .preset = options.preset});
  service = &ready;
  adapters.manager.start();
  log_ready(log, *loaded, name, started);

  const auto signal = signals.pop({});
  log.info("stopping", {{"signal", signal.value_or(0)}});
  (*http)->drain(kDrainLimit);
  http->reset();
  log.info("stopped");
  return 0;
}

}  // namespace
}  // namespace server

int main(int argc, char** argv) {
  const server::ParsedOptions parsed = server::parse_options(argc, argv);
  return parsed.options ? server::run(*parsed.options) : parsed.exit_status;
}
