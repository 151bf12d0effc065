#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "provision/cloud/provider.h"

namespace provision {

/// A cloud in memory, complete but for machines: tests make the Nodes, and choose failures. Its
/// machines are `fake:///<claim name>`. Safe from many threads.
class FakeProvider final : public CloudProvider {
 public:
  explicit FakeProvider(std::vector<std::string> instance_types = {"Standard_NC24ads_A100_v4"})
      : instance_types_(std::move(instance_types)) {}

  base::Result<Instance> create(const base::Context& ctx, const InstanceRequest& request) override;
  /// Ends the machine in two steps, as clouds do: it is ending at the first call, gone at the
  /// second.
  base::Status remove(const base::Context& ctx, const std::string& provider_id) override;
  base::Result<Instance> get(const base::Context& ctx, const std::string& provider_id) override;
  base::Result<std::vector<Instance>> list(const base::Context& ctx) override;
  std::vector<std::string> instance_types() const override { return instance_types_; }

  /// Every later `create` fails with this; nothing ends that.
  void fail_creates(std::optional<base::Error> error);
  /// The machine disappears without anybody asking.
  void lose(const std::string& provider_id);
  /// How many machines were ever started.
  std::size_t started() const;

 private:
  struct Machine {
    Instance instance;
    bool ending = false;
  };
  struct State {
    std::map<std::string, Machine> machines;  ///< By provider id.
    std::optional<base::Error> create_error;
    std::size_t started = 0;
  };

  const std::vector<std::string> instance_types_;
  base::Guarded<State> state_;
};

}  // namespace provision
