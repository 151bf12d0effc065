#include "inference/adapters/adapter_manager.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <utility>

#include "base/file.h"
#include "inference/adapters/limits.h"

namespace inference {

using base::Error;
using base::ErrorCode;

namespace {

/// Failures that may pass without a change of the list.
bool may_pass(ErrorCode code) {
  switch (code) {
    case ErrorCode::NotFound:
    case ErrorCode::Unauthorized:
    case ErrorCode::Forbidden:
    case ErrorCode::Cancelled:
      return true;
    default:
      return base::is_retryable(code);
  }
}

metrics::Gauge state_gauge(metrics::Registry& metrics, AdapterState state) {
  return metrics.gauge("kaito_adapters", "Adapters by what became of them.",
                       {{"state", std::string(to_string(state))}});
}

}  // namespace

struct AdapterManager::Item {
  AdapterEntry entry;
  AdapterState state = AdapterState::Pending;
  std::string message;
  LoadedAdapter loaded;
  base::SteadyTime next_try{};
  std::chrono::seconds pause = kAdapterRetryFirst;
};

AdapterManager::AdapterManager(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(std::move(deps)),
      pending_(state_gauge(deps_.metrics, AdapterState::Pending)),
      loaded_(state_gauge(deps_.metrics, AdapterState::Loaded)),
      failed_(state_gauge(deps_.metrics, AdapterState::Failed)) {
  follow({});
  read_file();
  publish();
}

AdapterManager::~AdapterManager() = default;

void AdapterManager::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), "adapters");
    const base::Context ctx(stop, deps_.log);
    try {
      while (!stop.stop_requested()) {
        step(ctx);
        (void)ctx.sleep(kAdaptersFileCheck);
      }
    } catch (const std::exception& failure) {
      deps_.log.error("following the adapters failed", {{"error", failure.what()}});
      std::abort();
    }
  });
}

void AdapterManager::step(const base::Context& ctx) {
  read_file();
  for (const auto& item : items_) {
    if (ctx.done()) return;
    if (item->state == AdapterState::Pending && deps_.clock.steady() >= item->next_try)
      try_item(ctx, *item);
  }
}

void AdapterManager::read_file() {
  if (options_.file.empty()) return;
  auto text = base::read_file(options_.file, kMaxAdaptersFileBytes);
  // No file yet is an empty list.
  if (!text && text.error().code() == ErrorCode::NotFound) text = std::string();
  if (text && file_read_ && *text == file_text_) return;
  auto list = text ? parse_adapter_list(*text) : base::Result<AdapterList>(text.error());
  if (text) {
    file_text_ = *std::move(text);
    file_read_ = true;
  }
  if (list) {
    std::vector<AdapterEntry> all = options_.fixed;
    all.insert(all.end(), list->adapters.begin(), list->adapters.end());
    if (const auto good = check_adapters(all); !good) list = good.error();
  }
  if (!list) {
    const std::string error = fmt::format("{}: {}", options_.file.string(), list.error().message());
    if (std::exchange(file_error_, error) != error)
      deps_.log.error("the adapters file is not followed", {{"error", error}});
  } else {
    file_error_.clear();
    revision_ = list->revision;
    follow(*list);
  }
  publish();
}

void AdapterManager::follow(const AdapterList& list) {
  std::vector<AdapterEntry> wanted = options_.fixed;
  wanted.insert(wanted.end(), list.adapters.begin(), list.adapters.end());
  std::vector<std::unique_ptr<Item>> items;
  for (AdapterEntry& entry : wanted) {
    const auto known = std::find_if(items_.begin(), items_.end(), [&](const auto& item) {
      return item && item->entry.name == entry.name && item->entry.source() == entry.source();
    });
    if (known == items_.end()) {
      deps_.log.info("adapter wanted", {{"adapter", entry.name}, {"source", entry.source()}});
      items.push_back(std::make_unique<Item>());
    } else {
      items.push_back(std::move(*known));
    }
    items.back()->entry = std::move(entry);
  }
  bool dropped = false;
  for (const auto& item : items_) {
    if (!item) continue;
    dropped = true;
    deps_.log.info("adapter dropped", {{"adapter", item->entry.name}});
    deps_.source.release(item->entry);
  }
  items_ = std::move(items);
  if (!dropped) return;
  publish();
  deps_.loader.forget(base::Context({}, deps_.log).with_timeout(std::chrono::seconds(10)));
}

void AdapterManager::try_item(const base::Context& ctx, Item& item) {
  const base::SteadyTime begun = deps_.clock.steady();
  const base::Context bounded = ctx.with_timeout(kAdapterFetchTimeout);
  auto folder = deps_.source.fetch(bounded, item.entry);
  // An image without an adapter in it stays so; a folder may be filled yet.
  auto loaded =
      folder ? deps_.loader.load(bounded, *folder) : base::Result<LoadedAdapter>(folder.error());
  if (!loaded && folder && !item.entry.image.empty() &&
      loaded.error().code() == ErrorCode::NotFound)
    loaded = Error(ErrorCode::Invalid, loaded.error().message());
  if (!loaded) {
    note_failure(item, loaded.error());
  } else {
    item.loaded = *std::move(loaded);
    item.state = AdapterState::Loaded;
    item.message.clear();
    const auto took = deps_.clock.steady() - begun;
    deps_.log.info("adapter loaded",
                   {{"adapter", item.entry.name},
                    {"source", item.entry.source()},
                    {"rank", item.loaded.rank},
                    {"bytes", item.loaded.bytes},
                    {"strength", item.entry.strength},
                    {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
    deps_.source.release(item.entry);
  }
  publish();
}

void AdapterManager::note_failure(Item& item, const Error& error) {
  item.message = error.message();
  if (!may_pass(error.code())) {
    item.state = AdapterState::Failed;
    deps_.log.error("adapter refused", {{"adapter", item.entry.name}, {"error", error.message()}});
    deps_.source.release(item.entry);
    return;
  }
  item.next_try = deps_.clock.steady() + item.pause;
  deps_.log.warn("adapter not there yet", {{"adapter", item.entry.name},
                                           {"error", error.message()},
                                           {"retrySeconds", item.pause.count()}});
  item.pause = std::min(item.pause * 2, kAdapterRetryMax);
}

void AdapterManager::publish() {
  AdapterView view{.revision = revision_, .error = file_error_};
  std::size_t pending = 0;
  std::size_t loaded = 0;
  for (const auto& item : items_) {
    pending += item->state == AdapterState::Pending ? 1 : 0;
    loaded += item->state == AdapterState::Loaded ? 1 : 0;
    view.adapters.push_back({.name = item->entry.name,
                             .source = item->entry.source(),
                             .strength = item->entry.strength,
                             .state = item->state,
                             .message = item->message,
                             .rank = item->loaded.rank,
                             .bytes = item->loaded.bytes,
                             .adapter = item->loaded.adapter});
  }
  // Later changes never make the server as a whole unready.
  settled_ = settled_ || (pending == 0 && file_error_.empty());
  view.settled = settled_;
  pending_.set(static_cast<double>(pending));
  loaded_.set(static_cast<double>(loaded));
  failed_.set(static_cast<double>(items_.size() - pending - loaded));
  deps_.choices.publish(std::move(view));
}

}  // namespace inference
