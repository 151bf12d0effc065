#include "inference/scheduler/plan.h"

#include <algorithm>

namespace inference {

std::vector<BatchPart> plan_batch(std::span<const SlotDemand> demands, const PlanLimits& limits) {
  std::vector<BatchPart> parts;
  int room = limits.batch_tokens;
  int outputs = limits.outputs;
  for (const SlotDemand& demand : demands) {
    if (!demand.answering || demand.pending != 1 || room == 0 || outputs == 0) continue;
    parts.push_back({demand.slot, 1, true});
    --room;
    --outputs;
  }
  if (!parts.empty() || limits.answers_elsewhere)
    room = std::min(room, limits.prompt_tokens_beside_answers);
  for (const SlotDemand& demand : demands) {
    if (demand.answering && demand.pending == 1) continue;
    int tokens = std::min(demand.pending, room);
    // Without an output left, the last token waits for the next batch.
    if (tokens == demand.pending && outputs == 0) --tokens;
    if (tokens <= 0) break;
    const bool last = tokens == demand.pending;
    parts.push_back({demand.slot, tokens, last});
    room -= tokens;
    if (last) --outputs;
  }
  return parts;
}

std::uint64_t AdapterTurns::choose(std::span<const SlotDemand> demands, base::SteadyTime now) {
  const auto wanted = [&](std::uint64_t adapters) {
    return std::any_of(demands.begin(), demands.end(),
                       [&](const SlotDemand& one) { return one.adapters == adapters; });
  };
  if (served_.contains(current_) && wanted(current_) && now - since_ < turn_) return current_;
  std::erase_if(served_, [&](const auto& entry) { return !wanted(entry.first); });
  std::uint64_t next = demands.front().adapters;
  for (const SlotDemand& one : demands)
    if (served_[one.adapters] < served_[next]) next = one.adapters;
  served_[next] = ++choices_;
  current_ = next;
  since_ = now;
  return next;
}

int common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto [end, unused] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<int>(end - a.begin());
}

std::optional<Placement> place_prompt(std::span<const TokenId> prompt,
                                      std::span<const SlotCache> slots) {
  const int most = static_cast<int>(prompt.size()) - 1;
  int source = -1;
  int shared = 0;
  int oldest = -1;
  for (int i = 0; i < static_cast<int>(slots.size()); ++i) {
    const SlotCache& slot = slots[static_cast<std::size_t>(i)];
    const int prefix = slot.same_adapters ? std::min(common_prefix(slot.tokens, prompt), most) : 0;
    const bool idle_is_better = prefix == shared && source >= 0 && slot.idle &&
                                !slots[static_cast<std::size_t>(source)].idle;
    if (prefix > shared || (idle_is_better && prefix > 0)) {
      source = i;
      shared = prefix;
    }
    if (!slot.idle) continue;
    const auto rank = [&](int index) {
      const SlotCache& one = slots[static_cast<std::size_t>(index)];
      return std::pair(!one.tokens.empty(), one.last_used);
    };
    if (oldest < 0 || rank(i) < rank(oldest)) oldest = i;
  }
  if (oldest < 0) return std::nullopt;
  if (source < 0) return Placement{oldest, oldest, 0};
  const SlotCache& from = slots[static_cast<std::size_t>(source)];
  // Continuing a conversation uses its slot up; a short common beginning is shared instead, and the
  // slot's longer cache stays.
  const bool continues = shared * 2 >= static_cast<int>(from.tokens.size());
  if (from.idle && (continues || source == oldest)) return Placement{source, source, shared};
  return Placement{oldest, source, shared};
}

}  // namespace inference
