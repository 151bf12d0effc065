#include "provision/drain.h"

#include <gtest/gtest.h>

#include "provision/labels.h"
#include "provision/testing.h"

namespace provision {
namespace {

using testing_support::local_node;
using testing_support::ready;
using testing_support::seed_claim;
using namespace std::chrono_literals;

const base::SystemTime kNow = base::parse_rfc3339("2026-11-24T19:00:00Z").value();

std::shared_ptr<PodSummary> pod(std::string name) {
  auto made = std::make_shared<PodSummary>();
  made->metadata.ns = "ns";
  made->metadata.name = std::move(name);
  made->status.phase = "Running";
  return made;
}

api::Node drained_node() {
  api::Node node = ready(local_node(seed_claim()));
  node.spec.unschedulable = true;
  node.spec.taints.push_back({std::string(kDisruptedTaint), "", "NoSchedule", ""});
  return node;
}

TEST(Drain, KeepsNewPodsAwayFirst) {
  const DrainPlan plan = plan_drain(ready(local_node(seed_claim())), {}, kNow, std::nullopt);
  ASSERT_TRUE(plan.node_patch);
  EXPECT_EQ(json::dump(*json::find(*plan.node_patch, "spec")),
            R"({"unschedulable":true,"taints":[{"key":"sku","value":"gpu","effect":"NoSchedule"},)"
            R"({"key":"karpenter.sh/disrupted","effect":"NoSchedule"}]})");
  EXPECT_FALSE(plan.waits);
  EXPECT_FALSE(plan_drain(drained_node(), {}, kNow, std::nullopt).node_patch) << "once is enough";
}

TEST(Drain, EvictsWhatRunsAndWaitsForWhatEnds) {
  auto ending = pod("ending");
  ending->metadata.deletion_timestamp = "2026-11-24T18:59:00Z";
  auto ended = pod("ended");
  ended->status.phase = "Succeeded";
  auto daemon = pod("daemon");
  daemon->metadata.owner_references = {{"apps/v1", "DaemonSet", "d", "u", true, {}}};
  auto mirror = pod("mirror");
  mirror->metadata.annotations["kubernetes.io/config.mirror"] = "x";
  const auto running = pod("running");
  DrainPlan plan =
      plan_drain(drained_node(), {ending, ended, daemon, mirror, running}, kNow, std::nullopt);
  ASSERT_EQ(plan.evict.size(), 1U);
  EXPECT_EQ(plan.evict.front(), running);
  EXPECT_TRUE(plan.kill.empty());
  EXPECT_TRUE(plan.waits);

  plan = plan_drain(drained_node(), {ending}, kNow, std::nullopt);
  EXPECT_TRUE(plan.evict.empty());
  EXPECT_TRUE(plan.waits);
  EXPECT_FALSE(plan_drain(drained_node(), {ended, daemon, mirror}, kNow, std::nullopt).waits);
}

TEST(Drain, RemovesPodsThatNobodyCanEnd) {
  const auto running = pod("running");
  api::Node lost = drained_node();
  lost.status.conditions.front().status = "Unknown";
  EXPECT_EQ(plan_drain(lost, {running}, kNow, std::nullopt).kill.size(), 1U);
  lost.status.conditions.front().last_transition_time = "2026-11-24T18:59:30Z";
  EXPECT_EQ(plan_drain(lost, {running}, kNow, std::nullopt).evict.size(), 1U) << "it may come back";

  api::Node silent = drained_node();
  silent.status.conditions.clear();
  silent.metadata.creation_timestamp = "2026-11-24T18:59:30Z";
  EXPECT_EQ(plan_drain(silent, {running}, kNow, std::nullopt).evict.size(), 1U);
  silent.metadata.creation_timestamp = "2026-11-24T18:00:00Z";
  EXPECT_EQ(plan_drain(silent, {running}, kNow, std::nullopt).kill.size(), 1U);
}

TEST(Drain, EndsAtTheClaimsDeadline) {
  const auto running = pod("running");
  EXPECT_EQ(plan_drain(drained_node(), {running}, kNow, kNow + 1s).evict.size(), 1U);
  EXPECT_EQ(plan_drain(drained_node(), {running}, kNow, kNow).kill.size(), 1U);
}

}  // namespace
}  // namespace provision
