#include "inference/adapters/adapter_choices.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace inference {

using base::Error;
using base::ErrorCode;

namespace {

/// What a client is told to wait while the first adapters are loaded.
constexpr std::chrono::seconds kRetryAfter{1};

}  // namespace

std::string_view to_string(AdapterState state) {
  switch (state) {
    case AdapterState::Pending:
      return "pending";
    case AdapterState::Loaded:
      return "loaded";
    case AdapterState::Failed:
      break;
  }
  return "failed";
}

AdapterChoices::AdapterChoices(std::string served_name)
    : served_name_(std::move(served_name)), view_(std::make_shared<const AdapterView>()) {}

std::shared_ptr<const AdapterView> AdapterChoices::view() const {
  return view_.with([](const auto& view) { return view; });
}

base::Result<AdapterChoices::Choice> AdapterChoices::choose(std::string_view model) const {
  const auto view = this->view();
  if (!view->settled)
    return Error(ErrorCode::Unavailable, "the adapters are being loaded")
        .with_retry_after(kRetryAfter);
  if (model.empty() || model == served_name_) return Choice{served_name_, view->all};
  if (model == base_name()) return Choice{base_name(), nullptr};
  for (std::size_t i = 0; i < view->adapters.size(); ++i) {
    const AdapterStatus& one = view->adapters[i];
    if (one.name != model) continue;
    if (one.state == AdapterState::Loaded) return Choice{one.name, view->each[i]};
    return Error(
        ErrorCode::NotFound,
        fmt::format("the adapter `{}` is not loaded ({}): {}", one.name, to_string(one.state),
                    one.message.empty() ? "it is being fetched" : one.message));
  }
  std::string names = fmt::format("`{}`", served_name_);
  if (!view->adapters.empty()) names += fmt::format(", `{}`", base_name());
  for (const AdapterStatus& one : view->adapters) names += fmt::format(", `{}`", one.name);
  return Error(ErrorCode::NotFound,
               fmt::format("the model `{}` does not exist; this server has {}", model, names));
}

AdapterSetPointer AdapterChoices::set_of(std::vector<AdapterSet::Member> members) {
  // With strength 0 an adapter changes nothing.
  std::erase_if(members, [](const AdapterSet::Member& one) { return one.strength == 0; });
  if (members.empty()) return nullptr;
  const auto known =
      std::find_if(known_sets_.begin(), known_sets_.end(),
                   [&](const AdapterSetPointer& one) { return one->members == members; });
  if (known != known_sets_.end()) return *known;
  auto set = std::make_shared<AdapterSet>();
  set->id = ++last_id_;
  set->members = std::move(members);
  known_sets_.push_back(set);
  return set;
}

void AdapterChoices::publish(AdapterView view) {
  std::vector<AdapterSet::Member> all;
  view.each.clear();
  for (const AdapterStatus& one : view.adapters) {
    if (!one.adapter) {
      view.each.push_back(nullptr);
      continue;
    }
    const AdapterSet::Member member{one.adapter, static_cast<float>(one.strength)};
    view.each.push_back(set_of({member}));
    all.push_back(member);
  }
  view.all = set_of(std::move(all));
  // Sets that nothing names any more live on in the requests that run.
  known_sets_ = view.each;
  known_sets_.push_back(view.all);
  std::erase(known_sets_, nullptr);
  auto next = std::make_shared<const AdapterView>(std::move(view));
  // The old view, and with it adapters, goes outside of the lock.
  view_.with([&](auto& current) { current.swap(next); });
}

}  // namespace inference
