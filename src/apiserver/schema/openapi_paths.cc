#include <fmt/format.h>

#include <cctype>

#include "apiserver/schema/openapi_definitions.h"

/// The paths and operations of a type.
namespace apiserver {
namespace {

constexpr QueryParameter kPretty{"pretty", "string", "If 'true', the output is indented."};
constexpr QueryParameter kDryRun{"dryRun", "string",
                                 "'All' runs every stage of the request but stores nothing."};
constexpr QueryParameter kFieldManager{"fieldManager", "string",
                                       "The name of the actor that makes these changes."};
constexpr QueryParameter kFieldValidation{
    "fieldValidation", "string", "What to do about unknown fields: Ignore, Warn or Strict."};
constexpr QueryParameter kForce{"force", "boolean",
                                "Apply takes over fields that other managers own."};
constexpr QueryParameter kLabelSelector{"labelSelector", "string", "Restricts by labels."};
constexpr QueryParameter kFieldSelector{"fieldSelector", "string", "Restricts by fields."};
constexpr QueryParameter kLimit{"limit", "integer", "The most objects to return."};
constexpr QueryParameter kContinue{"continue", "string", "The token of the next page."};
constexpr QueryParameter kResourceVersion{"resourceVersion", "string", "Where to start."};
constexpr QueryParameter kWatch{"watch", "boolean", "Follow changes."};
constexpr QueryParameter kGracePeriod{"gracePeriodSeconds", "integer",
                                      "Seconds before the object is deleted."};
constexpr QueryParameter kPropagation{"propagationPolicy", "string",
                                      "Whether and how dependents are deleted."};

/// `apps` -> `Apps`, `kaito.sh` -> `KaitoSh`, `v1beta1` -> `V1beta1`.
std::string camel(std::string_view text) {
  std::string result;
  bool upper = true;
  for (const char c : text) {
    if (c == '.' || c == '-') {
      upper = true;
      continue;
    }
    result.push_back(upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c);
    upper = false;
  }
  return result;
}

class PathMaker {
 public:
  explicit PathMaker(const OpenApiType& type)
      : type_(type), definition_(definition_name(type.group, type.version, type.kind)) {
    prefix_ = type.group.empty() ? "/api/" + type.version
                                 : fmt::format("/apis/{}/{}", type.group, type.version);
    gvk_ = {{"group", json::String(type.group)},
            {"kind", json::String(type.kind)},
            {"version", json::String(type.version)}};
    patches_ = {"application/json-patch+json", "application/merge-patch+json"};
    // Clients compute these from the schema: without one they cannot.
    if (!type.custom && !type.schema.empty()) {
      patches_.push_back("application/strategic-merge-patch+json");
    }
    patches_.push_back("application/apply-patch+yaml");
  }

  std::vector<ApiPath> make() const {
    std::vector<ApiPath> paths;
    if (type_.namespaced) {
      ApiPath all{fmt::format("{}/{}", prefix_, type_.plural), {}, {}};
      all.operations.push_back(list("ForAllNamespaces"));
      paths.push_back(std::move(all));
    }
    paths.push_back(collection());
    paths.push_back(item());
    if (type_.status) paths.push_back(subresource("status", "Status", definition_, gvk_));
    if (type_.scale) {
      const json::Object scale{{"group", "autoscaling"}, {"kind", "Scale"}, {"version", "v1"}};
      paths.push_back(subresource("scale", "Scale", std::string(kScaleName), scale));
    }
    return paths;
  }

 private:
  std::string scoped_prefix() const {
    return type_.namespaced ? prefix_ + "/namespaces/{namespace}" : prefix_;
  }
  std::vector<std::string_view> scope_parameters() const {
    return type_.namespaced ? std::vector<std::string_view>{"namespace"}
                            : std::vector<std::string_view>{};
  }

  ApiOperation operation(std::string_view method, std::string_view action, std::string_view verb,
                         std::string_view suffix) const {
    ApiOperation op;
    op.method = method;
    op.action = action;
    const std::string_view scope =
        type_.namespaced && suffix != "ForAllNamespaces" ? "Namespaced" : "";
    op.id = fmt::format("{}{}{}{}{}{}", verb, type_.group.empty() ? "Core" : camel(type_.group),
                        camel(type_.version), scope, type_.kind, suffix);
    op.description = fmt::format("{} {}", verb, type_.kind);
    op.gvk = gvk_;
    op.response = definition_;
    op.parameters = {kPretty};
    return op;
  }

  ApiOperation write(std::string_view method, std::string_view action, std::string_view verb,
                     std::string_view suffix) const {
    ApiOperation op = operation(method, action, verb, suffix);
    op.parameters.insert(op.parameters.end(), {kDryRun, kFieldManager, kFieldValidation});
    op.body = definition_;
    return op;
  }

  ApiOperation patch(std::string_view suffix) const {
    ApiOperation op = write("patch", "patch", "patch", suffix);
    op.parameters.push_back(kForce);
    op.consumes = patches_;
    op.body = kPatchName;
    return op;
  }

  ApiOperation list(std::string_view suffix) const {
    ApiOperation op = operation("get", "list", "list", suffix);
    op.parameters.insert(op.parameters.end(), {kLabelSelector, kFieldSelector, kLimit, kContinue,
                                               kResourceVersion, kWatch});
    op.response = definition_ + "List";
    return op;
  }

  ApiOperation remove(std::string_view action, std::string_view verb) const {
    ApiOperation op = operation("delete", action, verb, "");
    op.parameters.insert(op.parameters.end(), {kDryRun, kGracePeriod, kPropagation});
    op.body = kDeleteOptionsName;
    op.response = kStatusName;
    return op;
  }

  ApiPath collection() const {
    ApiPath path{fmt::format("{}/{}", scoped_prefix(), type_.plural), scope_parameters(), {}};
    path.operations = {list(""), write("post", "post", "create", ""),
                       remove("deletecollection", "deleteCollection")};
    return path;
  }

  ApiPath item() const {
    ApiPath path{
        fmt::format("{}/{}/{{name}}", scoped_prefix(), type_.plural), scope_parameters(), {}};
    path.parameters.push_back("name");
    path.operations = {operation("get", "get", "read", ""), write("put", "put", "replace", ""),
                       patch(""), remove("delete", "delete")};
    return path;
  }

  ApiPath subresource(std::string_view name, std::string_view suffix, const std::string& definition,
                      const json::Object& gvk) const {
    ApiPath path{fmt::format("{}/{}/{{name}}/{}", scoped_prefix(), type_.plural, name),
                 scope_parameters(),
                 {}};
    path.parameters.push_back("name");
    path.operations = {operation("get", "get", "read", suffix),
                       write("put", "put", "replace", suffix), patch(suffix)};
    for (ApiOperation& op : path.operations) {
      op.gvk = gvk;
      op.response = definition;
      if (op.method == "put") op.body = definition;
    }
    return path;
  }

  const OpenApiType& type_;
  std::string definition_;
  std::string prefix_;
  json::Object gvk_;
  std::vector<std::string_view> patches_;
};

}  // namespace

std::vector<ApiPath> make_paths(const OpenApiType& type) { return PathMaker(type).make(); }

}  // namespace apiserver
