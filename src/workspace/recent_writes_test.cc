#include "workspace/recent_writes.h"

#include <gtest/gtest.h>

namespace workspace {
namespace {

api::ObjectMeta named(const std::string& uid) {
  api::ObjectMeta made;
  made.ns = "d";
  made.name = "w";
  made.uid = uid;
  return made;
}

TEST(RecentWrites, HoldsANoteUntilItIsSeenOrLost) {
  base::ManualClock clock{{}};
  RecentWrites writes(clock);
  writes.note(named("1"), "a");
  writes.note(named("1"), "b");
  EXPECT_TRUE(writes.is_pending(named("1"), "a"));
  EXPECT_FALSE(writes.is_pending(named("1"), "c"));
  writes.seen(named("1"), "a");
  EXPECT_FALSE(writes.is_pending(named("1"), "a"));
  EXPECT_TRUE(writes.has_pending(named("1")));
  clock.advance(RecentWrites::kLag);
  EXPECT_FALSE(writes.is_pending(named("1"), "b"));
  EXPECT_FALSE(writes.has_pending(named("1")));
}

TEST(RecentWrites, ForgetsWithItsWorkspace) {
  base::ManualClock clock{{}};
  RecentWrites writes(clock);
  writes.note(named("1"), "a");
  writes.settle(named("1"), "a", "token");
  EXPECT_TRUE(writes.is_settled(named("1"), "a", "token"));
  EXPECT_FALSE(writes.is_settled(named("1"), "a", "other"));
  EXPECT_FALSE(writes.is_pending(named("2"), "a")) << "a namesake starts anew";
  EXPECT_FALSE(writes.is_settled(named("2"), "a", "token"));
  EXPECT_EQ(writes.size(), 1U);
  writes.forget({"d", "w"});
  EXPECT_EQ(writes.size(), 0U);
}

}  // namespace
}  // namespace workspace
