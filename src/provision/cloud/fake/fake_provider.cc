#include "provision/cloud/fake/fake_provider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace provision {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

Error not_found(const std::string& provider_id) {
  return {ErrorCode::NotFound, fmt::format("there is no machine {}", provider_id)};
}

}  // namespace

Result<Instance> FakeProvider::create(const base::Context& ctx, const InstanceRequest& request) {
  TRY(ctx.check());
  if (std::ranges::find(instance_types_, request.instance_type) == instance_types_.end()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("instance type '{}' is not on offer", request.instance_type));
  }
  const std::string id = "fake:///" + request.claim_name;
  return state_.with([&](State& state) -> Result<Instance> {
    if (state.create_error) return *state.create_error;
    const auto [at, is_new] = state.machines.try_emplace(id);
    if (is_new) {
      ++state.started;
      at->second.instance = {.provider_id = id,
                             .claim_name = request.claim_name,
                             .image_id = "fake-image",
                             .capacity = {{"cpu", "4"}, {"nvidia.com/gpu", "1"}}};
    }
    return at->second.instance;
  });
}

Status FakeProvider::remove(const base::Context& ctx, const std::string& provider_id) {
  TRY(ctx.check());
  return state_.with([&](State& state) -> Status {
    const auto found = state.machines.find(provider_id);
    if (found == state.machines.end()) return not_found(provider_id);
    if (!std::exchange(found->second.ending, true)) return {};
    state.machines.erase(found);
    return not_found(provider_id);
  });
}

Result<Instance> FakeProvider::get(const base::Context& ctx, const std::string& provider_id) {
  TRY(ctx.check());
  return state_.with([&](const State& state) -> Result<Instance> {
    const auto found = state.machines.find(provider_id);
    if (found == state.machines.end()) return not_found(provider_id);
    return found->second.instance;
  });
}

Result<std::vector<Instance>> FakeProvider::list(const base::Context& ctx) {
  TRY(ctx.check());
  return state_.with([](const State& state) -> Result<std::vector<Instance>> {
    std::vector<Instance> instances;
    for (const auto& [id, machine] : state.machines) instances.push_back(machine.instance);
    return instances;
  });
}

void FakeProvider::fail_creates(std::optional<Error> error) {
  state_.with([&](State& state) { state.create_error = std::move(error); });
}

void FakeProvider::lose(const std::string& provider_id) {
  state_.with([&](State& state) { state.machines.erase(provider_id); });
}

std::size_t FakeProvider::started() const {
  return state_.with([](const State& state) { return state.started; });
}

}  // namespace provision
