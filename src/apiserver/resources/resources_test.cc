#include <gtest/gtest.h>

#include "apiserver/builtin/rows.h"
#include "apiserver/http/accept.h"
#include "apiserver/resources/json_path.h"
#include "apiserver/resources/registry.h"
#include "apiserver/resources/selector.h"
#include "apiserver/resources/table.h"

namespace apiserver {
namespace {

json::Value parse(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return value ? *std::move(value) : json::Value();
}

bool selects(std::string_view selector, std::string_view labels) {
  const auto query = LabelQuery::parse(selector);
  EXPECT_TRUE(query) << selector;
  return query && query->matches(parse(R"({"metadata":{"labels":)" + std::string(labels) + "}}"));
}

TEST(LabelQuery, KnowsAllOperators) {
  const char* labels = R"({"app":"a","tier":"1","kaito.sh/x":"y"})";
  for (const char* yes :
       {"", "app=a", "app==a", "app!=b", "app in (a, b)", "app notin (b,c)", "app", "!gone",
        "gone!=x", "tier>0", "tier<2", "kaito.sh/x=y,app in (a),!z"})
    EXPECT_TRUE(selects(yes, labels)) << yes;
  for (const char* no : {"app=b", "app!=a", "app in (b)", "app notin (a)", "gone", "!app", "tier>1",
                         "app>0", "gone=x", "app=a,gone"})
    EXPECT_FALSE(selects(no, labels)) << no;
}

TEST(LabelQuery, RefusesBrokenText) {
  for (const char* bad : {"a=b,", "a in b", "=x", "a in (b", "a ! b", "a>x", "a=b c", "!"})
    EXPECT_FALSE(LabelQuery::parse(bad)) << bad;
}

TEST(FieldQuery, ComparesDottedPaths) {
  const auto object = parse(R"({"metadata":{"name":"x"},"spec":{"n":3,"on":true},"status":{}})");
  const auto matches = [&](std::string_view text) {
    const auto query = FieldQuery::parse(text);
    return query && query->matches(object);
  };
  EXPECT_TRUE(matches("metadata.name=x,spec.n=3,spec.on==true,status.phase!=Failed"));
  EXPECT_TRUE(matches("status.phase="));
  EXPECT_FALSE(matches("metadata.name!=x"));
  EXPECT_FALSE(matches("status.phase=Running"));
  EXPECT_FALSE(FieldQuery::parse("metadata.name"));
  EXPECT_FALSE(FieldQuery::parse("=x"));
  const auto query = FieldQuery::parse("metadata.name=a\\,b,metadata.namespace!=c");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->required("metadata.name"), "a,b");
  EXPECT_EQ(query->required("metadata.namespace"), "");
}

std::string path(std::string_view text, const json::Value& root) {
  const auto parsed = JsonPath::parse(text);
  if (!parsed) return "error";
  std::string out;
  for (const auto* value : parsed->evaluate(root)) out += json::dump(*value) + ";";
  return out;
}

TEST(JsonPath, ReachesMembersIndexesAndFilters) {
  const auto root =
      parse(R"({"a":{"b.c":1,"l":[{"t":"x","v":1},{"t":"y","v":2}]},"m":{"k/y.z":"q"}})");
  EXPECT_EQ(path(".a.l[0].v", root), "1;");
  EXPECT_EQ(path("{.a.l[-1].v}", root), "2;");
  EXPECT_EQ(path("$.a.l[*].v", root), "1;2;");
  EXPECT_EQ(path(R"(.a.l[?(@.t=="y")].v)", root), "2;");
  EXPECT_EQ(path(R"(.a.l[?(@.t != 'y')].v)", root), "1;");
  EXPECT_EQ(path(R"(.a.l[?(@.v==2)].t)", root), "\"y\";");
  EXPECT_EQ(path(R"(.a.l[?(@.none)].t)", root), "");
  EXPECT_EQ(path(R"(.a['b.c'])", root), "1;");
  EXPECT_EQ(path(R"(.m.k/y\.z)", root), "\"q\";");
  EXPECT_EQ(path(".a.gone.x", root), "");
  for (const char* bad : {".a[", ".a[?(x)]", ".a..b", ".a[?(@.t==\"y)]", ".a]"})
    EXPECT_EQ(path(bad, root), "error") << bad;
}

TEST(Table, PrintsDurationsAsKubectl) {
  using std::chrono::seconds;
  EXPECT_EQ(human_duration(seconds(-5)), "<invalid>");
  EXPECT_EQ(human_duration(seconds(119)), "119s");
  EXPECT_EQ(human_duration(seconds(120)), "2m");
  EXPECT_EQ(human_duration(seconds(200)), "3m20s");
  EXPECT_EQ(human_duration(seconds(3600)), "60m");
  EXPECT_EQ(human_duration(seconds(3 * 3600 + 60)), "3h1m");
  EXPECT_EQ(human_duration(seconds(47 * 3600)), "47h");
  EXPECT_EQ(human_duration(seconds(50 * 3600)), "2d2h");
  EXPECT_EQ(human_duration(seconds(20 * 86400)), "20d");
  EXPECT_EQ(human_duration(seconds(800 * 86400LL)), "2y70d");
}

TEST(Table, FillsColumnsOfCustomResources) {
  ResourceDefinition resource;
  VersionDefinition version;
  version.columns = {
      {.name = "Count", .type = "integer", .json_path = ".spec.count"},
      {.name = "Ready", .json_path = R"(.status.conditions[?(@.type=="Ready")].status)"},
      {.name = "Age", .type = "date", .json_path = ".metadata.creationTimestamp"}};
  const auto object = parse(
      R"({"metadata":{"name":"w","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"count":2},)"
      R"("status":{"conditions":[{"type":"Ready","status":"True"}]}})");
  const auto now = *base::parse_rfc3339("2026-01-01T00:00:09Z");
  const auto row = make_row(resource, version, object, TableInclude::Metadata, now);
  EXPECT_EQ(json::dump(*json::find(row, "cells")), R"(["w",2,"True","9s"])");
  EXPECT_EQ(json::find_string(row, "object.kind"), "PartialObjectMetadata");
  const auto bare =
      make_row(resource, version, parse(R"({"metadata":{"name":"w"}})"), TableInclude::None, now);
  EXPECT_EQ(json::dump(*json::find(bare, "cells")), R"(["w",null,null,null])");
}

std::string pod_status(std::string_view status, std::string_view more = "") {
  const auto pod =
      parse(R"({"metadata":{"name":"p")" + std::string(more) +
            R"(},"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]},)"
            R"("status":)" +
            std::string(status) + "}");
  const auto cells = table_view("pods").row(pod, base::SystemTime{});
  return json::to_string(cells.at(2).get_string()) + " " +
         json::to_string(cells.at(1).get_string()) + " " +
         json::to_string(cells.at(3).get_string());
}

TEST(Table, ShowsPodsAsKubectlDoes) {
  EXPECT_EQ(pod_status(R"({"phase":"Pending"})"), "Pending 0/1 0");
  EXPECT_EQ(pod_status(R"({"phase":"Pending","initContainerStatuses":[
      {"state":{"running":{}}}]})"),
            "Init:0/1 0/1 0");
  EXPECT_EQ(pod_status(R"({"phase":"Pending","initContainerStatuses":[
      {"restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]})"),
            "Init:CrashLoopBackOff 0/1 2");
  EXPECT_EQ(pod_status(R"({"phase":"Running","initContainerStatuses":[
      {"state":{"terminated":{"exitCode":0}}}],"containerStatuses":[
      {"ready":true,"restartCount":1,"state":{"running":{}}}]})"),
            "Running 1/1 1");
  EXPECT_EQ(pod_status(R"({"phase":"Running","containerStatuses":[
      {"ready":false,"state":{"terminated":{"exitCode":3}}}]})"),
            "ExitCode:3 0/1 0");
  EXPECT_EQ(pod_status(R"({"phase":"Running"})", R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")"),
            "Terminating 0/1 0");
}

TEST(Accept, TakesTheFirstFormThatIsServed) {
  const auto view = [](std::string_view accept) {
    const auto answer = negotiate(accept);
    return answer ? static_cast<int>(answer->view) : -1;
  };
  EXPECT_EQ(view(""), static_cast<int>(View::Object));
  EXPECT_EQ(view("*/*"), static_cast<int>(View::Object));
  EXPECT_EQ(view("application/vnd.kubernetes.protobuf,application/json"),
            static_cast<int>(View::Object));
  EXPECT_EQ(view("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            static_cast<int>(View::Table));
  EXPECT_EQ(view("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            static_cast<int>(View::Partial));
  EXPECT_EQ(view("application/json;as=Foo;g=x;v=v1, application/json"),
            static_cast<int>(View::Object));
  EXPECT_EQ(view("application/vnd.kubernetes.protobuf"), -1);
  EXPECT_EQ(view("text/html"), -1);
}

TEST(Registry, OrdersVersionsAsKubernetesDoes) {
  EXPECT_TRUE(version_before("v1", "v1beta1"));
  EXPECT_TRUE(version_before("v1beta1", "v1alpha1"));
  EXPECT_TRUE(version_before("v2", "v1"));
  EXPECT_TRUE(version_before("v1beta2", "v1beta1"));
  EXPECT_TRUE(version_before("v10", "v2"));
  EXPECT_TRUE(version_before("v1alpha1", "foo"));
  EXPECT_TRUE(version_before("bar", "foo"));
}

}  // namespace
}  // namespace apiserver
