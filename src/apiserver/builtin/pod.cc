#include <fmt/format.h>

#include <algorithm>

#include "api/core/quantity.h"
#include "apiserver/builtin/builtin.h"
#include "apiserver/objects/metadata.h"

namespace apiserver {
namespace {

constexpr std::int64_t kGraceSeconds = 30;
constexpr int kVolumeFileMode = 0644;

void set_probe_defaults(json::Object& container, const char* name) {
  json::Value* value = container.if_contains(name);
  json::Object* probe = value ? value->if_object() : nullptr;
  if (!probe) return;
  set_default(*probe, "timeoutSeconds", 1);
  set_default(*probe, "periodSeconds", 10);
  set_default(*probe, "successThreshold", 1);
  set_default(*probe, "failureThreshold", 3);
  if (json::Value* http = probe->if_contains("httpGet"); http && http->is_object()) {
    set_default(http->get_object(), "path", "/");
    set_default(http->get_object(), "scheme", "HTTP");
  }
}

/// `Always` for images that may change behind their tag.
const char* pull_policy(std::string_view image) {
  if (image.find('@') != std::string_view::npos) return "IfNotPresent";
  const auto slash = image.rfind('/');
  const auto last = slash == std::string_view::npos ? image : image.substr(slash + 1);
  const auto colon = last.rfind(':');
  return colon == std::string_view::npos || last.substr(colon) == ":latest" ? "Always"
                                                                            : "IfNotPresent";
}

void set_env_defaults(json::Object& container) {
  json::Value* env = container.if_contains("env");
  if (!env || !env->is_array()) return;
  for (json::Value& entry : env->get_array()) {
    json::Value* field = entry.is_object() ? json::find(entry, "valueFrom.fieldRef") : nullptr;
    if (field && field->is_object()) set_default(field->get_object(), "apiVersion", "v1");
  }
}

/// Quantities may come as numbers and are kept as text: 0.5 is 500m.
void spell_out_numbers(json::Object& amounts) {
  for (auto& member : amounts) {
    if (!member.value().is_number()) continue;
    const std::string written = json::dump(member.value());
    const auto thousandths = api::quantity_milli(written);
    const bool whole = !thousandths || *thousandths % 1000 == 0;
    const std::string text = !thousandths ? written
                             : whole      ? fmt::format("{}", *thousandths / 1000)
                                          : fmt::format("{}m", *thousandths);
    member.value() = json::String(text);
  }
}

void set_container_defaults(json::Object& container) {
  set_default(container, "terminationMessagePath", "/dev/termination-log");
  set_default(container, "terminationMessagePolicy", "File");
  set_default(container, "imagePullPolicy", pull_policy(text_of(container, "image")));
  set_default(container, "resources", json::Object{});
  if (json::Value* ports = container.if_contains("ports"); ports && ports->is_array())
    for (json::Value& port : ports->get_array())
      if (port.is_object()) set_default(port.get_object(), "protocol", "TCP");
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"})
    set_probe_defaults(container, probe);
  set_env_defaults(container);
}

/// What a container may use at most is what it asks for, resource by resource. Only of pods:
/// templates keep what users wrote.
void request_limits(json::Object& container) {
  json::Value* resources = container.if_contains("resources");
  if (!resources || !resources->is_object()) return;
  const json::Object* limits = child_if(resources->get_object(), "limits");
  if (!limits || limits->empty()) return;
  const json::Object wanted = *limits;
  json::Object& requests = child(resources->get_object(), "requests");
  for (const auto& limit : wanted)
    set_default(requests, {limit.key().data(), limit.key().size()}, limit.value());
}

void set_volume_defaults(json::Object& volume) {
  const auto source = [&](const char* key) -> json::Object* {
    json::Value* value = volume.if_contains(key);
    return value ? value->if_object() : nullptr;
  };
  for (const char* key : {"configMap", "secret", "projected", "downwardAPI"})
    if (json::Object* object = source(key)) set_default(*object, "defaultMode", kVolumeFileMode);
  if (json::Object* object = source("hostPath")) set_default(*object, "type", "");
  if (volume.size() == 1 && volume.contains("name")) volume["emptyDir"] = json::Object{};
}

template <class Use>
void for_each_object(json::Object& parent, const char* key, Use use) {
  json::Value* list = parent.if_contains(key);
  if (!list || !list->is_array()) return;
  for (json::Value& entry : list->get_array())
    if (entry.is_object()) use(entry.get_object());
}

std::string quality_of_service(const json::Object& spec) {
  bool any = false;
  bool guaranteed = true;
  for (const char* key : {"containers", "initContainers"}) {
    const json::Value* list = spec.if_contains(key);
    if (!list || !list->is_array()) continue;
    for (const json::Value& container : list->get_array()) {
      const json::Object* requests = json::find_object(container, "resources.requests");
      const json::Object* limits = json::find_object(container, "resources.limits");
      any = any || (requests && !requests->empty()) || (limits && !limits->empty());
      for (const char* resource : {"cpu", "memory"}) {
        const json::Value* request = requests ? requests->if_contains(resource) : nullptr;
        const json::Value* limit = limits ? limits->if_contains(resource) : nullptr;
        guaranteed = guaranteed && request && limit && *request == *limit;
      }
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/// The spec without what a running pod may change.
json::Object fixed_part(const json::Object& spec) {
  json::Object fixed = spec;
  for (const char* key :
       {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName"})
    fixed.erase(key);
  for (const char* key : {"containers", "initContainers"})
    for_each_object(fixed, key, [](json::Object& container) { container.erase("image"); });
  return fixed;
}

class PodStrategy final : public Strategy {
 public:
  void canonicalize(json::Value& pod) const override { canonicalize_pod_spec(pod, "spec"); }
  void set_defaults(json::Object& pod) const override {
    json::Object& spec = child(pod, "spec");
    set_pod_spec_defaults(spec);
    for (const char* key : {"containers", "initContainers"})
      for_each_object(spec, key, request_limits);
    set_default(spec, "enableServiceLinks", true);
  }

  ApiStatus prepare_create(json::Object& pod) const override {
    pod["status"] = json::Object{
        {"phase", "Pending"}, {"qosClass", json::String(quality_of_service(child(pod, "spec")))}};
    return {};
  }

  void validate(const json::Object& pod, const json::Object* old,
                std::vector<Cause>& causes) const override {
    const json::Object& spec = *child_if(pod, "spec");
    validate_pod_spec(spec, "spec", causes);
    if (!old) return;
    const json::Object& before = *child_if(*old, "spec");
    const auto node = text_of(before, "nodeName");
    if (!json::equal(fixed_part(spec), fixed_part(before)) ||
        (!node.empty() && node != text_of(spec, "nodeName")))
      causes.push_back(forbidden_field(
          "spec",
          "pod updates may not change fields other than `spec.containers[*].image`, "
          "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only "
          "additions to existing tolerations), `spec.terminationGracePeriodSeconds`"));
  }

  std::optional<std::int64_t> grace_seconds(const json::Object& pod,
                                            std::optional<std::int64_t> wanted) const override {
    const json::Object* spec = child_if(pod, "spec");
    const json::Object* status = child_if(pod, "status");
    const std::string_view phase = status ? text_of(*status, "phase") : std::string_view();
    if (!spec || text_of(*spec, "nodeName").empty() || phase == "Succeeded" || phase == "Failed")
      return 0;
    if (wanted) return std::max<std::int64_t>(*wanted, 0);
    const json::Value* own = spec->if_contains("terminationGracePeriodSeconds");
    return own && own->is_int64() ? own->get_int64() : kGraceSeconds;
  }
};

void validate_containers(const json::Object& spec, const char* key, const std::string& path,
                         std::vector<std::string>& names, std::vector<Cause>& causes) {
  const json::Value* list = spec.if_contains(key);
  if (!list || !list->is_array()) return;
  for (std::size_t i = 0; i < list->get_array().size(); ++i) {
    const std::string at = fmt::format("{}.{}[{}]", path, key, i);
    const json::Object* container = list->get_array()[i].if_object();
    if (!container) {
      causes.push_back(invalid_field(at, "must be an object"));
      continue;
    }
    const std::string name(text_of(*container, "name"));
    if (name.empty()) {
      causes.push_back(required_field(at + ".name"));
    } else if (const auto problem = name_problem(NameRule::DnsLabel, name); !problem.empty()) {
      causes.push_back(invalid_field(at + ".name", fmt::format("\"{}\": {}", name, problem)));
    } else if (std::find(names.begin(), names.end(), name) != names.end()) {
      causes.push_back(
          {"FieldValueDuplicate", fmt::format("Duplicate value: \"{}\"", name), at + ".name"});
    }
    names.push_back(name);
    if (text_of(*container, "image").empty()) causes.push_back(required_field(at + ".image"));
  }
}

}  // namespace

void canonicalize_pod_spec(json::Value& object, std::string_view path) {
  for (const char* list : {"containers", "initContainers"}) {
    json::Value* containers = json::find(object, fmt::format("{}.{}", path, list));
    if (!containers || !containers->is_array()) continue;
    for (json::Value& container : containers->get_array()) {
      for (const char* amounts : {"resources.limits", "resources.requests"}) {
        json::Value* found = json::find(container, amounts);
        if (found && found->is_object()) spell_out_numbers(found->get_object());
      }
    }
  }
}

void set_pod_spec_defaults(json::Object& spec, std::string_view default_restart_policy) {
  set_default(spec, "restartPolicy", json::String(default_restart_policy));
  set_default(spec, "terminationGracePeriodSeconds", kGraceSeconds);
  set_default(spec, "dnsPolicy", "ClusterFirst");
  set_default(spec, "securityContext", json::Object{});
  set_default(spec, "schedulerName", "default-scheduler");
  if (const auto account = text_of(spec, "serviceAccountName"); !account.empty())
    set_default(spec, "serviceAccount", json::String(account));
  for (const char* key : {"containers", "initContainers"})
    for_each_object(spec, key, set_container_defaults);
  for_each_object(spec, "volumes", set_volume_defaults);
}

void validate_pod_spec(const json::Object& spec, const std::string& path,
                       std::vector<Cause>& causes) {
  const json::Value* containers = spec.if_contains("containers");
  if (!containers || !containers->is_array() || containers->get_array().empty())
    causes.push_back(required_field(path + ".containers"));
  std::vector<std::string> names;
  validate_containers(spec, "initContainers", path, names, causes);
  validate_containers(spec, "containers", path, names, causes);
  const auto restart = text_of(spec, "restartPolicy");
  if (restart != "Always" && restart != "OnFailure" && restart != "Never")
    causes.push_back({"FieldValueNotSupported",
                      fmt::format("Unsupported value: \"{}\": supported values: \"Always\", "
                                  "\"OnFailure\", \"Never\"",
                                  restart),
                      path + ".restartPolicy"});
}

std::shared_ptr<const Strategy> pod_strategy() { return std::make_shared<const PodStrategy>(); }

}  // namespace apiserver
