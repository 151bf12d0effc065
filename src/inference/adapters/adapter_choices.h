#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "inference/engine/adapter.h"

namespace inference {

enum class AdapterState { Pending, Loaded, Failed };
std::string_view to_string(AdapterState state);

/// One adapter as users see it.
struct AdapterStatus {
  std::string name;
  std::string source;
  double strength = 1;
  AdapterState state = AdapterState::Pending;
  std::string message;  ///< Why it is not loaded.
  std::uint64_t rank = 0;
  std::uint64_t bytes = 0;
  std::shared_ptr<const Adapter> adapter;  ///< When loaded.
};

/// What there is to choose from at a moment. Immutable.
struct AdapterView {
  std::string revision;  ///< Of the list that is followed.
  std::string error;     ///< Why a newer list is not followed.
  bool settled = true;   ///< Every adapter of the first list is loaded or has failed.
  std::vector<AdapterStatus> adapters;

  /// Filled by `AdapterChoices::publish`.
  AdapterSetPointer all;
  std::vector<AdapterSetPointer> each;  ///< Beside `adapters`.
};

/// The models that requests can name: the server's own name (the base with all adapters), each
/// adapter's name, and the server's name with `:base`. One thread publishes, any may choose.
class AdapterChoices {
 public:
  explicit AdapterChoices(std::string served_name);

  const std::string& served_name() const { return served_name_; }
  std::string base_name() const { return served_name_ + ":base"; }

  struct Choice {
    std::string model;
    AdapterSetPointer adapters;
  };
  /// "" is the server's own name. Errors: NotFound, saying what there is or why the adapter is not
  /// loaded; Unavailable with retry_after while the first adapters are being loaded.
  base::Result<Choice> choose(std::string_view model) const;

  /// Makes the sets; one that was there before keeps its identity, and with it what is cached.
  void publish(AdapterView view);
  std::shared_ptr<const AdapterView> view() const;

 private:
  AdapterSetPointer set_of(std::vector<AdapterSet::Member> members);

  std::string served_name_;
  std::uint64_t last_id_ = 0;
  std::vector<AdapterSetPointer> known_sets_;  ///< Of the view before.
  base::Guarded<std::shared_ptr<const AdapterView>> view_;
};

}  // namespace inference
