#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/log.h"
#include "base/result.h"
#include "inference/adapters/adapter_choices.h"
#include "inference/adapters/adapter_list.h"
#include "metrics/registry.h"

namespace inference {

/// Gives an adapter's folder. Errors: Invalid and everything else that stays; retryable codes,
/// NotFound, Unauthorized and Forbidden (a registry may be put right).
class AdapterSource {
 public:
  virtual ~AdapterSource() = default;
  virtual base::Result<std::filesystem::path> fetch(const base::Context& ctx,
                                                    const AdapterEntry& entry) = 0;
  /// `entry` is not wanted any more, or loaded: its files may go.
  virtual void release(const AdapterEntry& entry) = 0;
};

struct LoadedAdapter {
  std::shared_ptr<const Adapter> adapter;
  std::uint64_t rank = 0;
  std::uint64_t bytes = 0;
};

/// Loads an adapter from its folder, beside answers that run.
class AdapterLoader {
 public:
  virtual ~AdapterLoader() = default;
  /// Errors: Invalid when it does not fit the model or cannot be served; the message says why.
  virtual base::Result<LoadedAdapter> load(const base::Context& ctx,
                                           const std::filesystem::path& folder) = 0;
  /// Some adapters are not wanted any more: lets go of what is still in use for nobody.
  virtual void forget(const base::Context& ctx) = 0;
};

/// Follows the adapters file: fetches, loads and drops adapters and publishes what there is. One
/// thread, started by `start`; or `step` by hand.
class AdapterManager {
 public:
  struct Options {
    std::vector<AdapterEntry> fixed;  ///< Always wanted, before those of the file.
    std::filesystem::path file;       ///< Empty: there is none.
  };
  struct Deps {
    AdapterChoices& choices;
    AdapterSource& source;
    AdapterLoader& loader;
    metrics::Registry& metrics;
    base::Clock& clock;
    base::Logger log;
  };
  /// Publishes at once that the first adapters are being loaded, if there are any.
  AdapterManager(Options options, Deps deps);
  ~AdapterManager();

  void start();
  /// Looks at the file, then tries once each adapter that is due.
  void step(const base::Context& ctx);

 private:
  struct Item;

  void read_file();
  void follow(const AdapterList& list);
  void try_item(const base::Context& ctx, Item& item);
  void note_failure(Item& item, const base::Error& error);
  void publish();

  Options options_;
  Deps deps_;
  std::string file_text_;  ///< As read last.
  bool file_read_ = false;
  std::string revision_;
  std::string file_error_;
  bool settled_ = false;
  std::vector<std::unique_ptr<Item>> items_;
  metrics::Gauge pending_;
  metrics::Gauge loaded_;
  metrics::Gauge failed_;
  std::jthread thread_;  // Last: it uses everything above.
};

}  // namespace inference
