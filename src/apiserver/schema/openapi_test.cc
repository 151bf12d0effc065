#include "apiserver/schema/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "apiserver/schema/protobuf_writer.h"

namespace apiserver {
namespace {

/// A decoder for tests: the fields of one message in order.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t integer = 0;
  std::string bytes;
};

std::optional<std::uint64_t> take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::vector<Field> decode(std::string_view in) {
  std::vector<Field> fields;
  while (!in.empty()) {
    const auto tag = take_varint(in);
    if (!tag) throw std::runtime_error("truncated tag");
    Field field{.number = *tag >> 3};
    if ((*tag & 7) == 0) {
      field.integer = take_varint(in).value();
    } else {
      const std::uint64_t size = (*tag & 7) == 1 ? 8 : take_varint(in).value();
      if (size > in.size()) throw std::runtime_error("truncated field");
      field.bytes = in.substr(0, size);
      in.remove_prefix(size);
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

/// The bytes of the first field NUMBER.
std::string first(const std::string& message, std::uint64_t number) {
  for (const Field& field : decode(message)) {
    if (field.number == number) return field.bytes;
  }
  return {};
}
bool has(const std::string& message, std::uint64_t number) {
  for (const Field& field : decode(message)) {
    if (field.number == number) return true;
  }
  return false;
}
/// The value of the Named... message with NAME among the fields NUMBER.
std::string named(const std::string& message, std::uint64_t number, std::string_view name) {
  for (const Field& field : decode(message)) {
    if (field.number == number && first(field.bytes, 1) == name) return first(field.bytes, 2);
  }
  return {};
}

json::Object workspace_schema() {
  return json::parse(R"({
    "type":"object","description":"A workspace.","required":["resource"],
    "properties":{
      "metadata":{"type":"object"},
      "resource":{"type":"object","description":"Nodes.","properties":{
        "count":{"type":"integer","format":"int32","minimum":1,"default":1},
        "sizes":{"type":"array","items":{"type":"string"}},
        "ports":{"type":"array","x-kubernetes-patch-merge-key":"port",
                 "x-kubernetes-patch-strategy":"merge",
                 "items":{"type":"object","properties":{"port":{"x-kubernetes-int-or-string":true}}}},
        "labels":{"type":"object","additionalProperties":{"type":"string"}}}},
      "inference":{"type":"object","x-kubernetes-preserve-unknown-fields":true,
                   "properties":{"preset":{"type":"string"}}}}})")
      .value()
      .as_object();
}

std::vector<OpenApiType> types() {
  return {{.group = "kaito.sh",
           .version = "v1beta1",
           .kind = "Workspace",
           .plural = "workspaces",
           .custom = true,
           .status = true,
           .schema = workspace_schema()},
          {.group = "",
           .version = "v1",
           .kind = "Node",
           .plural = "nodes",
           .namespaced = false,
           .schema = {}},
          {.group = "apps",
           .version = "v1",
           .kind = "StatefulSet",
           .plural = "statefulsets",
           .scale = true,
           .schema = {}}};
}

TEST(OpenApi, NamesDefinitionsAsKubernetes) {
  EXPECT_EQ(definition_name("", "v1", "Pod"), "io.k8s.api.core.v1.Pod");
  EXPECT_EQ(definition_name("apps", "v1", "StatefulSet"), "io.k8s.api.apps.v1.StatefulSet");
  EXPECT_EQ(definition_name("coordination.k8s.io", "v1", "Lease"),
            "io.k8s.api.coordination.v1.Lease");
  EXPECT_EQ(definition_name("rbac.authorization.k8s.io", "v1", "Role"), "io.k8s.api.rbac.v1.Role");
  EXPECT_EQ(definition_name("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition");
  EXPECT_EQ(definition_name("kaito.sh", "v1beta1", "Workspace"), "sh.kaito.v1beta1.Workspace");
}

TEST(OpenApi, V3IndexNamesEveryGroupVersion) {
  const json::Value index = openapi_v3_index(types());
  const json::Object& paths = *json::find_object(index, "paths");
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_THAT(std::string(json::view(
                  paths.at("apis/kaito.sh/v1beta1").at("serverRelativeURL").as_string())),
              testing::StartsWith("/openapi/v3/apis/kaito.sh/v1beta1?hash="));
  EXPECT_TRUE(paths.contains("api/v1"));
}

TEST(OpenApi, V3DocumentLetsKubectlExplainAndApply) {
  const json::Value document = openapi_v3_document(types(), "kaito.sh", "v1beta1");
  const json::Object& paths = *json::find_object(document, "paths");
  const json::Value& list = paths.at("/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces");
  EXPECT_EQ(json::find_string(list, "get.x-kubernetes-group-version-kind.kind"), "Workspace");
  EXPECT_EQ(json::find_string(list, "get.x-kubernetes-action"), "list");
  const json::Value& item =
      paths.at("/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces/{name}");
  EXPECT_THAT(
      json::dump(*json::find(item, "patch.parameters")),
      testing::AllOf(testing::HasSubstr("\"fieldValidation\""), testing::HasSubstr("\"dryRun\"")));
  const json::Object& patches = *json::find_object(item, "patch.requestBody.content");
  EXPECT_TRUE(patches.contains("application/apply-patch+yaml"));
  EXPECT_FALSE(patches.contains("application/strategic-merge-patch+json"));
  EXPECT_TRUE(
      paths.contains("/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces/{name}/status"));
  EXPECT_FALSE(paths.contains("/api/v1/nodes"));

  const json::Object& schemas = *json::find_object(document, "components.schemas");
  const json::Value& workspace = schemas.at("sh.kaito.v1beta1.Workspace");
  EXPECT_EQ(json::dump(workspace.at("x-kubernetes-group-version-kind")),
            R"([{"group":"kaito.sh","kind":"Workspace","version":"v1beta1"}])");
  EXPECT_EQ(json::dump(*json::find(workspace, "properties.metadata.allOf")),
            R"([{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}])");
  EXPECT_EQ(json::find_int(workspace, "properties.resource.properties.count.default"), 1);
  EXPECT_TRUE(schemas.contains("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
}

/// Every $ref of a document must lead somewhere, or kubectl refuses all of it.
void collect_references(const json::Value& value, std::vector<std::string>& out) {
  if (const json::Object* object = value.if_object()) {
    for (const auto& member : *object) {
      if (member.key() == "$ref") out.push_back(json::to_string(member.value().as_string()));
      collect_references(member.value(), out);
    }
  } else if (const json::Array* array = value.if_array()) {
    for (const json::Value& element : *array) collect_references(element, out);
  }
}

TEST(OpenApi, EveryReferenceLeadsToADefinition) {
  const json::Value v2 = openapi_v2_document(types());
  std::vector<std::string> references;
  collect_references(v2, references);
  ASSERT_FALSE(references.empty());
  for (const std::string& target : references) {
    ASSERT_TRUE(target.starts_with("#/definitions/")) << target;
    EXPECT_TRUE(json::find_object(v2, "definitions")->contains(target.substr(14))) << target;
  }
  for (const auto& [group, version] :
       {std::pair{"", "v1"}, {"apps", "v1"}, {"kaito.sh", "v1beta1"}}) {
    const json::Value v3 = openapi_v3_document(types(), group, version);
    references.clear();
    collect_references(v3, references);
    for (const std::string& target : references) {
      ASSERT_TRUE(target.starts_with("#/components/schemas/")) << target;
      EXPECT_TRUE(json::find_object(v3, "components.schemas")->contains(target.substr(21)))
          << target;
    }
  }
}

TEST(OpenApi, V2SaysLessRatherThanSomethingWrong) {
  const json::Value v2 = openapi_v2_document(types());
  const json::Value& workspace = v2.at("definitions").at("sh.kaito.v1beta1.Workspace");
  EXPECT_FALSE(json::find(workspace, "properties.inference.properties"));
  EXPECT_FALSE(json::find(workspace, "properties.resource.properties.count.default"));
  EXPECT_EQ(json::dump(*json::find(workspace,
                                   "properties.resource.properties.ports.items.properties.port")),
            R"({"x-kubernetes-int-or-string":true,"type":"string","format":"int-or-string"})");
  // A type without a known schema accepts every field.
  EXPECT_FALSE(
      v2.at("definitions").at("io.k8s.api.core.v1.Node").as_object().contains("properties"));
}

TEST(OpenApi, ProtobufCarriesDefinitions) {
  const std::string document = openapi_v2_protobuf(openapi_v2_document(types()));
  EXPECT_EQ(first(document, 1), "2.0");
  EXPECT_EQ(first(first(document, 2), 1), "Kubernetes");
  const std::string workspace = named(first(document, 9), 1, "sh.kaito.v1beta1.Workspace");
  ASSERT_FALSE(workspace.empty());
  EXPECT_EQ(first(workspace, 4), "A workspace.");
  EXPECT_EQ(first(first(workspace, 22), 1), "object");
  EXPECT_EQ(first(workspace, 19), "resource");
  EXPECT_EQ(first(named(workspace, 31, "x-kubernetes-group-version-kind"), 2),
            R"([{"group":"kaito.sh","kind":"Workspace","version":"v1beta1"}])");
  const std::string properties = first(workspace, 25);
  EXPECT_EQ(first(named(properties, 1, "metadata"), 1),
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  const std::string resource = first(named(properties, 1, "resource"), 25);
  const std::string count = named(resource, 1, "count");
  EXPECT_EQ(first(count, 2), "int32");
  EXPECT_EQ(first(count, 9), std::string("\0\0\0\0\0\0\xf0\x3f", 8));  // minimum: 1.0
  const std::string sizes = named(resource, 1, "sizes");
  EXPECT_EQ(first(first(first(first(sizes, 23), 1), 22), 1), "string");
  const std::string labels = named(resource, 1, "labels");
  EXPECT_EQ(first(first(first(first(labels, 21), 1), 22), 1), "string");
  const std::string ports = named(resource, 1, "ports");
  EXPECT_EQ(first(named(ports, 31, "x-kubernetes-patch-merge-key"), 2), "\"port\"");
}

TEST(OpenApi, ProtobufCarriesOperations) {
  const std::string document = openapi_v2_protobuf(openapi_v2_document(types()));
  const std::string path = named(first(document, 8), 2,
                                 "/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces/{name}");
  ASSERT_FALSE(path.empty());
  for (const std::uint64_t method : {2, 3, 5, 8}) EXPECT_TRUE(has(path, method)) << method;
  const std::string patch = first(path, 8);
  EXPECT_EQ(first(named(patch, 13, "x-kubernetes-group-version-kind"), 2),
            R"({"group":"kaito.sh","kind":"Workspace","version":"v1beta1"})");
  std::vector<std::string> query;
  for (const Field& field : decode(patch)) {
    if (field.number != 8) continue;
    const std::string non_body = first(first(field.bytes, 1), 2);
    if (!non_body.empty()) query.push_back(first(first(non_body, 3), 4));
  }
  EXPECT_THAT(query,
              testing::ElementsAre("pretty", "dryRun", "fieldManager", "fieldValidation", "force"));
}

TEST(Protobuf, WritesTheWireFormat) {
  ProtobufWriter out;
  out.text(1, "ab");
  out.integer(2, 300);
  out.boolean(3, true);
  out.real(16, 1.0);
  out.text(4, "");
  EXPECT_EQ(out.bytes(), std::string("\x0a\x02"
                                     "ab\x10\xac\x02\x18\x01\x81\x01\0\0\0\0\0\0\xf0\x3f",
                                     19));
}

}  // namespace
}  // namespace apiserver
