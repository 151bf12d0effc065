#include <fmt/format.h>

#include <algorithm>

#include "apiserver/builtin/builtin.h"
#include "apiserver/objects/metadata.h"

namespace apiserver {
namespace {

json::Object& template_spec(json::Object& spec) { return child(child(spec, "template"), "spec"); }

const json::Object* template_labels(const json::Object& spec) {
  const json::Object* pods = child_if(spec, "template");
  const json::Object* metadata = pods ? child_if(*pods, "metadata") : nullptr;
  return metadata ? child_if(*metadata, "labels") : nullptr;
}

void validate_template(const json::Object& spec, std::vector<Cause>& causes) {
  const json::Object* pods = child_if(spec, "template");
  const json::Object* pod_spec = pods ? child_if(*pods, "spec") : nullptr;
  if (pod_spec) validate_pod_spec(*pod_spec, "spec.template.spec", causes);
  const json::Object* selector = child_if(spec, "selector");
  if (selector && !selector_matches(*selector, template_labels(spec)))
    causes.push_back(invalid_field("spec.template.metadata.labels",
                                   "`selector` does not match template `labels`"));
}

class StatefulSetStrategy final : public Strategy {
 public:
  void canonicalize(json::Value& object) const override {
    canonicalize_pod_spec(object, "spec.template.spec");
  }
  void set_defaults(json::Object& set) const override {
    json::Object& spec = child(set, "spec");
    set_default(spec, "replicas", 1);
    set_default(spec, "podManagementPolicy", "OrderedReady");
    set_default(spec, "revisionHistoryLimit", 10);
    json::Object& strategy = child(spec, "updateStrategy");
    set_default(strategy, "type", "RollingUpdate");
    if (text_of(strategy, "type") == "RollingUpdate")
      set_default(child(strategy, "rollingUpdate"), "partition", 0);
    json::Object& retention = child(spec, "persistentVolumeClaimRetentionPolicy");
    set_default(retention, "whenDeleted", "Retain");
    set_default(retention, "whenScaled", "Retain");
    set_pod_spec_defaults(template_spec(spec));
  }

  ApiStatus prepare_create(json::Object& set) const override {
    set["status"] = json::Object{{"replicas", 0}, {"availableReplicas", 0}};
    return {};
  }

  void validate(const json::Object& set, const json::Object* old,
                std::vector<Cause>& causes) const override {
    const json::Object& spec = *child_if(set, "spec");
    const json::Object* selector = child_if(spec, "selector");
    if (!selector || selector->empty())
      causes.push_back(
          required_field("spec.selector", "empty selector is invalid for statefulset"));
    validate_template(spec, causes);
    const json::Value* replicas = spec.if_contains("replicas");
    if (replicas && replicas->is_int64() && replicas->get_int64() < 0)
      causes.push_back(invalid_field(
          "spec.replicas",
          fmt::format("{}: must be greater than or equal to 0", replicas->get_int64())));
    if (old) validate_update(spec, *child_if(*old, "spec"), causes);
  }

 private:
  static void validate_update(const json::Object& spec, const json::Object& before,
                              std::vector<Cause>& causes) {
    const auto fixed = [](const json::Object& from) {
      json::Object out = from;
      for (const char* key :
           {"replicas", "ordinals", "template", "updateStrategy", "minReadySeconds",
            "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit"})
        out.erase(key);
      return out;
    };
    if (!json::equal(fixed(spec), fixed(before)))
      causes.push_back(forbidden_field(
          "spec",
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
          "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
          "'minReadySeconds' are forbidden"));
  }
};

class JobStrategy final : public Strategy {
 public:
  void canonicalize(json::Value& object) const override {
    canonicalize_pod_spec(object, "spec.template.spec");
  }
  void set_defaults(json::Object& job) const override {
    json::Object& spec = child(job, "spec");
    const bool open = !spec.contains("completions") && !spec.contains("parallelism");
    if (open) set_default(spec, "completions", 1);
    set_default(spec, "parallelism", 1);
    set_default(spec, "backoffLimit", 6);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    set_default(spec, "manualSelector", false);
    set_default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    set_pod_spec_defaults(template_spec(spec));
  }

  ApiStatus prepare_create(json::Object& job) const override {
    job["status"] = json::Object{};
    json::Object& spec = child(job, "spec");
    const json::Object& metadata = *child_if(job, "metadata");
    if (const json::Value* manual = spec.if_contains("manualSelector");
        manual && manual->is_bool() && manual->get_bool())
      return {};
    const json::String uid(text_of(metadata, "uid"));
    const json::String name(text_of(metadata, "name"));
    json::Object& labels = child(child(child(spec, "template"), "metadata"), "labels");
    labels["controller-uid"] = uid;
    labels["batch.kubernetes.io/controller-uid"] = uid;
    labels["job-name"] = name;
    labels["batch.kubernetes.io/job-name"] = name;
    json::Object& wanted = child(child(spec, "selector"), "matchLabels");
    wanted["batch.kubernetes.io/controller-uid"] = uid;
    return {};
  }

  ApiStatus prepare_update(json::Object& job, const json::Object& old) const override {
    // Clients that apply the file they wrote leave out what the server added.
    json::Object& spec = child(job, "spec");
    const json::Object& before = *child_if(old, "spec");
    if (!spec.contains("selector") && before.contains("selector"))
      spec["selector"] = before.at("selector");
    if (const json::Object* own = template_labels(before)) {
      json::Object& labels = child(child(child(spec, "template"), "metadata"), "labels");
      for (const char* key : {"controller-uid", "batch.kubernetes.io/controller-uid", "job-name",
                              "batch.kubernetes.io/job-name"})
        if (const json::Value* value = own->if_contains(key)) set_default(labels, key, *value);
    }
    return {};
  }

  void validate(const json::Object& job, const json::Object* old,
                std::vector<Cause>& causes) const override {
    const json::Object& spec = *child_if(job, "spec");
    validate_template(spec, causes);
    const json::Object* pods = child_if(spec, "template");
    const json::Object* pod_spec = pods ? child_if(*pods, "spec") : nullptr;
    if (pod_spec && text_of(*pod_spec, "restartPolicy") == "Always")
      causes.push_back({"FieldValueNotSupported",
                        "Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\"",
                        "spec.template.spec.restartPolicy"});
    if (!old) return;
    const json::Object& before = *child_if(*old, "spec");
    for (const char* key : {"template", "selector", "completions", "completionMode"}) {
      const json::Value* now = spec.if_contains(key);
      const json::Value* then = before.if_contains(key);
      if ((now == nullptr) != (then == nullptr) || (now && !json::equal(*now, *then)))
        causes.push_back(invalid_field(std::string("spec.") + key, "field is immutable"));
    }
  }
};

}  // namespace

bool selector_matches(const json::Object& selector, const json::Object* labels) {
  const auto value_of = [&](std::string_view key) -> const json::Value* {
    return labels ? labels->if_contains(key) : nullptr;
  };
  if (const json::Object* wanted = child_if(selector, "matchLabels")) {
    for (const auto& member : *wanted) {
      const json::Value* value = value_of({member.key().data(), member.key().size()});
      if (!value || *value != member.value()) return false;
    }
  }
  const json::Value* expressions = selector.if_contains("matchExpressions");
  if (!expressions || !expressions->is_array()) return true;
  return std::all_of(
      expressions->get_array().begin(), expressions->get_array().end(), [&](const auto& entry) {
        const auto op = json::find_string(entry, "operator");
        const json::Value* value = value_of(json::find_string(entry, "key"));
        const json::Array* values = json::find_array(entry, "values");
        const bool listed =
            value && values && std::find(values->begin(), values->end(), *value) != values->end();
        if (op == "Exists") return value != nullptr;
        if (op == "DoesNotExist") return value == nullptr;
        return op == "In" ? listed : !listed;
      });
}

std::shared_ptr<const Strategy> stateful_set_strategy() {
  return std::make_shared<const StatefulSetStrategy>();
}
std::shared_ptr<const Strategy> job_strategy() { return std::make_shared<const JobStrategy>(); }

}  // namespace apiserver
