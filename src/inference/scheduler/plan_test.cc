#include "inference/scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "inference/scheduler/fair_queue.h"

namespace inference {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Part = BatchPart;

constexpr PlanLimits kLimits{.batch_tokens = 100, .outputs = 4, .prompt_tokens_beside_answers = 30};

std::vector<Part> plan(std::vector<SlotDemand> demands, const PlanLimits& limits = kLimits) {
  return plan_batch(demands, limits);
}

TEST(PlanBatch, NothingToDo) { EXPECT_THAT(plan({}), IsEmpty()); }

TEST(PlanBatch, WholePromptWhenItFits) {
  EXPECT_THAT(plan({{0, 40, false}}), ElementsAre(Part{0, 40, true}));
}

TEST(PlanBatch, LongPromptComesInPieces) {
  EXPECT_THAT(plan({{0, 250, false}}), ElementsAre(Part{0, 100, false}));
}

TEST(PlanBatch, AnswersGoFirstAndBoundThePrompts) {
  EXPECT_THAT(plan({{0, 250, false}, {1, 1, true}, {2, 1, true}}),
              ElementsAre(Part{1, 1, true}, Part{2, 1, true}, Part{0, 30, false}));
}

TEST(PlanBatch, PromptsShareTheBatchInOrder) {
  EXPECT_THAT(plan({{0, 60, false}, {1, 60, false}, {2, 60, false}}),
              ElementsAre(Part{0, 60, true}, Part{1, 40, false}));
}

TEST(PlanBatch, OutputsAreBounded) {
  PlanLimits limits = kLimits;
  limits.outputs = 1;
  EXPECT_THAT(plan({{0, 1, true}, {1, 1, true}, {2, 5, false}}, limits),
              ElementsAre(Part{0, 1, true}, Part{2, 4, false}));
}

TEST(PlanBatch, APutBackAnswerIsComputedLikeAPrompt) {
  EXPECT_THAT(plan({{0, 50, true}}), ElementsAre(Part{0, 50, true}));
}

const std::vector<TokenId> kTemplate{1, 2, 3, 4};
const std::vector<TokenId> kConversation{1, 2, 3, 4, 10, 11, 12};
const std::vector<TokenId> kOther{9, 9, 9};

TEST(PlacePrompt, NoneWhenAllAreBusy) {
  const std::vector<SlotCache> slots{{kTemplate, false, 1}};
  EXPECT_EQ(place_prompt(kOther, slots), std::nullopt);
}

TEST(PlacePrompt, EmptySlotForANewPrompt) {
  const std::vector<SlotCache> slots{{kConversation, true, 1}, {{}, true, 0}};
  EXPECT_EQ(place_prompt(kOther, slots), (Placement{1, 1, 0}));
}

TEST(PlacePrompt, OldestIdleSlotWhenNoneIsEmpty) {
  const std::vector<SlotCache> slots{
      {kConversation, true, 5}, {kTemplate, true, 3}, {kOther, false, 1}};
  const std::vector<TokenId> prompt{7, 7};
  EXPECT_EQ(place_prompt(prompt, slots), (Placement{1, 1, 0}));
}

TEST(PlacePrompt, ContinuesAConversationInItsSlot) {
  const std::vector<SlotCache> slots{{{}, true, 0}, {kConversation, true, 1}};
  std::vector<TokenId> prompt = kConversation;
  prompt.push_back(13);
  EXPECT_EQ(place_prompt(prompt, slots), (Placement{1, 1, 7}));
}

TEST(PlacePrompt, LeavesATokenToCompute) {
  const std::vector<SlotCache> slots{{kConversation, true, 1}};
  EXPECT_EQ(place_prompt(kConversation, slots), (Placement{0, 0, 6}));
}

TEST(PlacePrompt, SharesAPrefixOfABusySlot) {
  const std::vector<SlotCache> slots{{kConversation, false, 1}, {{}, true, 0}};
  const std::vector<TokenId> prompt{1, 2, 3, 4, 20, 21};
  EXPECT_EQ(place_prompt(prompt, slots), (Placement{1, 0, 4}));
}

TEST(PlacePrompt, SharesAShortBeginningInsteadOfDroppingALongCache) {
  const std::vector<TokenId> long_cache(50, 1);
  const std::vector<SlotCache> slots{{long_cache, true, 1}, {{}, true, 0}};
  const std::vector<TokenId> prompt{1, 1, 1, 8};
  EXPECT_EQ(place_prompt(prompt, slots), (Placement{1, 0, 3}));
}

TEST(FairQueue, ClientsTakeTurns) {
  FairQueue<int> queue(10);
  for (const int item : {1, 2, 3}) ASSERT_TRUE(queue.push("busy", int{item}));
  ASSERT_TRUE(queue.push("late", 10));
  ASSERT_TRUE(queue.push("later", 20));
  std::vector<int> order;
  while (auto item = queue.pop()) order.push_back(*item);
  EXPECT_THAT(order, ElementsAre(1, 10, 20, 2, 3));
}

TEST(FairQueue, IsBounded) {
  FairQueue<std::string> queue(1);
  EXPECT_TRUE(queue.push("a", "one"));
  std::string two = "two";
  EXPECT_FALSE(queue.push("a", std::move(two)));
  EXPECT_EQ(two, "two") << "untouched";
  EXPECT_EQ(queue.size(), 1U);
}

TEST(FairQueue, RemovesFromTheMiddle) {
  FairQueue<int> queue(10);
  for (const int item : {1, 2, 3}) ASSERT_TRUE(queue.push("a", int{item}));
  ASSERT_TRUE(queue.push("b", 4));
  std::vector<int> removed;
  queue.remove_if([](int item) { return item % 2 == 0; },
                  [&](int item) { removed.push_back(item); });
  EXPECT_THAT(removed, ElementsAre(2, 4));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 3);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.size(), 0U);
}

TEST(Plan, PromptsGiveWayToAnswersWithOtherAdapters) {
  const std::vector<SlotDemand> demands{{.slot = 0, .pending = 100, .answering = false}};
  EXPECT_EQ(plan_batch(demands, {.answers_elsewhere = true}),
            (std::vector<BatchPart>{{0, 64, false}}));
}

TEST(AdapterTurns, KeepsATurnAndThenServesWhoWaitedLongest) {
  using std::chrono::milliseconds;
  AdapterTurns turns(milliseconds(50));
  const base::SteadyTime start{};
  const std::vector<SlotDemand> three{{.slot = 0, .adapters = 7},
                                      {.slot = 1, .adapters = 0},
                                      {.slot = 2, .adapters = 9},
                                      {.slot = 3, .adapters = 7}};
  EXPECT_EQ(turns.choose(three, start), 7U);
  EXPECT_EQ(turns.choose(three, start + milliseconds(49)), 7U);
  EXPECT_EQ(turns.choose(three, start + milliseconds(50)), 0U);
  EXPECT_EQ(turns.choose(three, start + milliseconds(100)), 9U);
  EXPECT_EQ(turns.choose(three, start + milliseconds(150)), 7U);
  const std::vector<SlotDemand> others(three.begin() + 1, three.begin() + 3);
  EXPECT_EQ(turns.choose(others, start + milliseconds(151)), 0U) << "nobody wants 7 any more";
  const std::vector<SlotDemand> one{{.slot = 0, .adapters = 9}};
  EXPECT_EQ(turns.choose(one, start + milliseconds(152)), 9U);
  EXPECT_EQ(turns.choose(one, start + milliseconds(900)), 9U);
}

TEST(PlacePrompt, SharesNothingBetweenAdapters) {
  const std::vector<TokenId> prompt{1, 2, 3, 4};
  const std::vector<TokenId> same{1, 2, 3, 9};
  const std::vector<SlotCache> slots{
      {.tokens = same, .idle = true, .last_used = 1, .same_adapters = false},
      {.tokens = {}, .idle = true}};
  EXPECT_EQ(place_prompt(prompt, slots), (Placement{1, 1, 0}));
}

}  // namespace
}  // namespace inference
