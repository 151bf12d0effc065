#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/test_support.h"
#include "inference/adapters/adapter_choices.h"
#include "inference/adapters/adapter_list.h"
#include "inference/adapters/adapter_manager.h"
#include "inference/adapters/image_source.h"
#include "inference/engine/adapter_graveyard.h"

namespace inference {
namespace {

using base::Error;
using base::ErrorCode;
using base::test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string mistake_in(std::string_view text) {
  const auto list = parse_adapter_list(text);
  return list ? "none" : list.error().message();
}

TEST(AdapterList, ReadsNamesStrengthsAndSources) {
  const auto list = parse_adapter_list(R"(
revision: 7
adapters:
- name: a
  image: registry.example/a:1
  strength: "0.5"
- name: b.c-1
  path: /mnt/adapter/b
- {name: d, path: /d, strength: 0}
)");
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_EQ(list->revision, "7");
  ASSERT_EQ(list->adapters.size(), 3U);
  EXPECT_EQ(list->adapters[0].strength, 0.5);
  EXPECT_EQ(list->adapters[0].source(), "registry.example/a:1");
  EXPECT_EQ(list->adapters[1].strength, 1);
  EXPECT_EQ(list->adapters[1].source(), "/mnt/adapter/b");
  EXPECT_EQ(list->adapters[2].strength, 0);
  EXPECT_THAT(parse_adapter_list("")->adapters, IsEmpty());
  EXPECT_THAT(parse_adapter_list(R"({"revision":"x","adapters":[]})")->revision, "x");
}

TEST(AdapterList, NamesEveryMistake) {
  EXPECT_THAT(mistake_in("adapters:\n- nmae: a\n  path: /a\n"), HasSubstr("line 2"));
  EXPECT_THAT(mistake_in("adapters: 5"), HasSubstr("expected array"));
  EXPECT_THAT(mistake_in("adapters: [{name: a}]"),
              HasSubstr("adapter a: exactly one of image and"));
  EXPECT_THAT(mistake_in("adapters: [{name: a, path: /a, image: b}]"), HasSubstr("exactly one"));
  EXPECT_THAT(mistake_in("adapters: [{name: a, path: a}]"), HasSubstr("absolute"));
  EXPECT_THAT(mistake_in("adapters: [{name: A, path: /a}]"), HasSubstr("lower-case"));
  EXPECT_THAT(mistake_in("adapters: [{name: a, path: /a},{name: a, path: /b}]"),
              HasSubstr("twice"));
  for (const char* strength : {"1.5", "-1", "x", "nan", "''", "true", "[1]"})
    EXPECT_THAT(
        mistake_in(std::string("adapters: [{name: a, path: /a, strength: ") + strength + "}]"),
        HasSubstr("from 0 to 1"))
        << strength;
  std::string many = "adapters:\n";
  for (int i = 0; i < 11; ++i) many += "- {name: a" + std::to_string(i) + ", path: /a}\n";
  EXPECT_THAT(mistake_in(many), HasSubstr("11 adapters are wanted, at most 10"));
  EXPECT_THAT(mistake_in("a: b: c"), HasSubstr("line 1"));
}

TEST(AdapterList, ReadsFlags) {
  const auto plain = parse_adapter_flag("a=/x/y");
  ASSERT_TRUE(plain) << plain.error().message();
  EXPECT_EQ(plain->path, "/x/y");
  EXPECT_EQ(plain->strength, 1);
  EXPECT_EQ(parse_adapter_flag("a=/x:0.25")->strength, 0.25);
  EXPECT_THAT(parse_adapter_flag("a").error().message(), HasSubstr("NAME=FOLDER"));
  EXPECT_THAT(parse_adapter_flag("a=/x:2").error().message(), HasSubstr("from 0 to 1"));
  EXPECT_THAT(parse_adapter_flag("A=/x").error().message(), HasSubstr("lower-case"));
}

std::shared_ptr<const Adapter> nothing_loaded() {
  static const auto graveyard = std::make_shared<AdapterGraveyard>();
  return std::make_shared<const Adapter>(nullptr, graveyard);
}

AdapterStatus loaded(const std::string& name, double strength,
                     std::shared_ptr<const Adapter> adapter) {
  return {.name = name,
          .strength = strength,
          .state = AdapterState::Loaded,
          .adapter = std::move(adapter)};
}

TEST(AdapterChoices, GivesBaseOneOrAll) {
  AdapterChoices choices("phi");
  EXPECT_EQ(choices.choose("")->adapters, nullptr);
  EXPECT_EQ(choices.choose("phi")->model, "phi");
  EXPECT_THAT(choices.choose("x").error().message(),
              HasSubstr("`x` does not exist; this server has `phi`"));
  const auto a = nothing_loaded();
  const auto b = nothing_loaded();
  choices.publish({.adapters = {loaded("a", 0.5, a), loaded("b", 1, b)}});
  const auto all = choices.choose("phi")->adapters;
  ASSERT_NE(all, nullptr);
  EXPECT_THAT(all->members, ElementsAre(AdapterSet::Member{a, 0.5F}, AdapterSet::Member{b, 1.0F}));
  EXPECT_THAT(choices.choose("a")->adapters->members, ElementsAre(AdapterSet::Member{a, 0.5F}));
  EXPECT_EQ(choices.choose("phi:base")->adapters, nullptr);
  EXPECT_THAT(choices.choose("c").error().message(), HasSubstr("`phi`, `phi:base`, `a`, `b`"));
}

TEST(AdapterChoices, KeepsWhatDidNotChange) {
  AdapterChoices choices("phi");
  const auto a = nothing_loaded();
  const auto b = nothing_loaded();
  choices.publish({.adapters = {loaded("a", 1, a)}});
  const auto one = choices.choose("a")->adapters;
  EXPECT_EQ(choices.choose("")->adapters, one) << "the only adapter is all of them";
  choices.publish({.adapters = {loaded("a", 1, a), loaded("b", 1, b)}});
  EXPECT_EQ(choices.choose("a")->adapters, one);
  EXPECT_NE(choices.choose("")->adapters, one);
  choices.publish({.adapters = {loaded("a", 0.5, a)}});
  EXPECT_NE(choices.choose("a")->adapters->id, one->id);
  choices.publish({.adapters = {loaded("a", 0, a)}});
  EXPECT_EQ(choices.choose("a")->adapters, nullptr) << "strength 0 is the base";
}

/// A loader and a source whose answers the test writes.
struct Fakes final : AdapterSource, AdapterLoader {
  base::Result<std::filesystem::path> fetch(const base::Context&,
                                            const AdapterEntry& entry) override {
    ++fetches[entry.name];
    if (const auto error = errors.find(entry.name); error != errors.end()) return error->second;
    return std::filesystem::path("/folder") / entry.name;
  }
  void release(const AdapterEntry& entry) override { ++releases[entry.name]; }
  base::Result<LoadedAdapter> load(const base::Context&,
                                   const std::filesystem::path& folder) override {
    if (const auto error = load_errors.find(folder.filename()); error != load_errors.end())
      return error->second;
    return LoadedAdapter{nothing_loaded(), 16, 1000};
  }
  void forget(const base::Context&) override { ++forgets; }

  std::map<std::string, Error> errors;
  std::map<std::string, Error> load_errors;
  std::map<std::string, int> fetches;
  std::map<std::string, int> releases;
  int forgets = 0;
};

struct Following {
  explicit Following(std::string_view text, std::vector<AdapterEntry> fixed = {}) {
    write(text);
    manager = std::make_unique<AdapterManager>(
        AdapterManager::Options{.fixed = std::move(fixed), .file = file},
        AdapterManager::Deps{.choices = choices,
                             .source = fakes,
                             .loader = fakes,
                             .metrics = registry,
                             .clock = clock,
                             .log = {}});
  }
  void write(std::string_view text) { ASSERT_TRUE(base::write_file_atomic(file, text, 0644)); }
  void step() { manager->step(base::Context()); }
  AdapterStatus status(std::size_t index) const { return choices.view()->adapters.at(index); }

  TempDir dir;
  std::filesystem::path file = dir.path() / "adapters.yaml";
  AdapterChoices choices{"phi"};
  Fakes fakes;
  metrics::Registry registry;
  base::ManualClock clock{base::SystemTime{}};
  std::unique_ptr<AdapterManager> manager;
};

constexpr std::string_view kOne = "adapters: [{name: a, image: x/a:1}]";

TEST(AdapterManager, LoadsWhatTheFileNamesAndIsThenReady) {
  Following it("revision: r1\nadapters: [{name: a, image: x/a:1, strength: 0.5}]");
  EXPECT_FALSE(it.choices.view()->settled);
  EXPECT_EQ(it.choices.choose("").error().code(), ErrorCode::Unavailable);
  it.step();
  EXPECT_TRUE(it.choices.view()->settled);
  EXPECT_EQ(it.choices.view()->revision, "r1");
  EXPECT_EQ(it.status(0).state, AdapterState::Loaded);
  EXPECT_EQ(it.status(0).rank, 16U);
  EXPECT_EQ(it.choices.choose("")->adapters->members.at(0).strength, 0.5F);
  EXPECT_EQ(it.fakes.releases["a"], 1) << "its files are not needed any more";
  EXPECT_THAT(it.registry.text(), HasSubstr("kaito_adapters{state=\"loaded\"} 1"));
}

TEST(AdapterManager, IsReadyAtOnceWithoutAdapters) {
  EXPECT_TRUE(Following("").choices.view()->settled);
  Following absent("");
  std::filesystem::remove(absent.file);
  absent.step();
  EXPECT_EQ(absent.choices.view()->error, "");
}

TEST(AdapterManager, ChangesAStrengthWithoutLoadingAnew) {
  Following it(kOne);
  it.step();
  const auto before = it.choices.choose("a")->adapters;
  it.write("adapters: [{name: a, image: x/a:1, strength: 0.25}]");
  it.step();
  const auto after = it.choices.choose("a")->adapters;
  EXPECT_EQ(it.fakes.fetches["a"], 1);
  EXPECT_EQ(after->members.at(0).adapter, before->members.at(0).adapter);
  EXPECT_EQ(after->members.at(0).strength, 0.25F);
  EXPECT_EQ(before->members.at(0).strength, 1.0F) << "answers that run keep what they began with";
}

TEST(AdapterManager, AddsReplacesAndDrops) {
  Following it(kOne);
  it.step();
  const auto first = it.choices.choose("a")->adapters->members.at(0).adapter;
  it.write("adapters: [{name: a, image: x/a:2}, {name: b, path: /b}]");
  it.step();
  EXPECT_EQ(it.fakes.fetches["a"], 2);
  EXPECT_EQ(it.fakes.forgets, 1);
  EXPECT_NE(it.choices.choose("a")->adapters->members.at(0).adapter, first);
  EXPECT_EQ(it.choices.choose("")->adapters->members.size(), 2U);
  EXPECT_EQ(first.use_count(), 1) << "nobody but this test holds it";
  it.write("");
  it.step();
  EXPECT_THAT(it.choices.view()->adapters, IsEmpty());
  EXPECT_EQ(it.choices.choose("")->adapters, nullptr);
}

TEST(AdapterManager, KeepsTheLastGoodListWhenTheFileIsWrong) {
  Following it(kOne);
  it.step();
  it.write("adapters: [{name: a}]");
  it.step();
  EXPECT_THAT(it.choices.view()->error, HasSubstr("adapter a: exactly one"));
  EXPECT_EQ(it.status(0).state, AdapterState::Loaded);
  it.write(kOne);
  it.step();
  EXPECT_EQ(it.choices.view()->error, "");
  EXPECT_EQ(it.fakes.fetches["a"], 1);
  Following wrong("adapters: 1");
  wrong.step();
  EXPECT_FALSE(wrong.choices.view()->settled) << "without any good list it is not ready";
}

TEST(AdapterManager, TriesAgainWhatMayPassAndGivesUpOnWhatStays) {
  Following it("adapters: [{name: a, image: x/a:1}, {name: b, image: x/b:1}]");
  it.fakes.errors.emplace("a", Error(ErrorCode::Unavailable, "registry down"));
  it.fakes.load_errors.emplace("b", Error(ErrorCode::Invalid, "of another model"));
  it.step();
  EXPECT_EQ(it.status(0).state, AdapterState::Pending);
  EXPECT_EQ(it.status(0).message, "registry down");
  EXPECT_EQ(it.status(1).state, AdapterState::Failed);
  EXPECT_FALSE(it.choices.view()->settled);
  it.step();
  EXPECT_EQ(it.fakes.fetches["a"], 1) << "not before its time";
  it.fakes.errors.clear();
  it.clock.advance(std::chrono::seconds(2));
  it.step();
  EXPECT_EQ(it.status(0).state, AdapterState::Loaded);
  EXPECT_EQ(it.fakes.fetches["b"], 1);
  EXPECT_TRUE(it.choices.view()->settled);
  EXPECT_THAT(it.choices.choose("b").error().message(),
              HasSubstr("`b` is not loaded (failed): of another model"));
  EXPECT_EQ(it.choices.choose("")->adapters->members.size(), 1U);
}

TEST(AdapterManager, AnImageWithoutAdapterStaysSo) {
  Following it("adapters: [{name: a, image: x/a:1}, {name: b, path: /b}]");
  it.fakes.load_errors.emplace("a", Error(ErrorCode::NotFound, "no adapter_config.json"));
  it.fakes.load_errors.emplace("b", Error(ErrorCode::NotFound, "no adapter_config.json"));
  it.step();
  EXPECT_EQ(it.status(0).state, AdapterState::Failed);
  EXPECT_EQ(it.status(1).state, AdapterState::Pending) << "a folder may be filled yet";
}

TEST(AdapterManager, PutsFixedAdaptersFirst) {
  Following it(kOne, {{.name = "fixed", .path = "/f"}});
  it.step();
  EXPECT_EQ(it.status(0).name, "fixed");
  it.write("adapters: [{name: fixed, path: /g}]");
  it.step();
  EXPECT_THAT(it.choices.view()->error, HasSubstr("fixed is there twice"));
}

TEST(ImageAdapterSource, CollectsCredentialsFromAFolder) {
  const TempDir dir;
  const auto write = [&](const char* name, std::string_view text) {
    ASSERT_TRUE(base::write_file_atomic(dir.path() / name, text, 0600));
  };
  write("one.json", R"({"auths":{"r.example":{"username":"u","password":"p"}}})");
  write(".dockerconfigjson", R"({"auths":{"r.example/team":{"username":"v","password":"q"}}})");
  write("notes.txt", "not JSON");
  const auto found = credentials_for(dir.path(), "r.example", "team/a");
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).user, "v");
  EXPECT_EQ(found->at(1).user, "u");
  EXPECT_THAT(*credentials_for(dir.path(), "other.example", "team/a"), IsEmpty());
  EXPECT_THAT(*credentials_for(dir.path() / "absent", "r.example", "a"), IsEmpty());
  write("two.json", "{");
  EXPECT_THAT(credentials_for(dir.path(), "r.example", "a").error().message(),
              HasSubstr("two.json"));
}

}  // namespace
}  // namespace inference
