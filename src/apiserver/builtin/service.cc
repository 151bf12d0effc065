#include <fmt/format.h>

#include "apiserver/builtin/builtin.h"
#include "apiserver/objects/metadata.h"

namespace apiserver {
namespace {

std::string owner_of(const json::Object& service) {
  const json::Object& metadata = *child_if(service, "metadata");
  return fmt::format("{}/{}", text_of(metadata, "namespace"), text_of(metadata, "name"));
}

class ServiceStrategy final : public Strategy {
 public:
  explicit ServiceStrategy(std::shared_ptr<ClusterIpAllocator> addresses)
      : addresses_(std::move(addresses)) {}

  void set_defaults(json::Object& service) const override {
    json::Object& spec = child(service, "spec");
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    if (json::Value* ports = spec.if_contains("ports"); ports && ports->is_array()) {
      for (json::Value& entry : ports->get_array()) {
        if (!entry.is_object()) continue;
        json::Object& port = entry.get_object();
        set_default(port, "protocol", "TCP");
        if (const json::Value* number = port.if_contains("port")) {
          const json::Value target = *number;
          set_default(port, "targetPort", target);
        }
      }
    }
    if (text_of(spec, "type") == "ExternalName") return;
    set_default(spec, "internalTrafficPolicy", "Cluster");
    set_default(spec, "ipFamilies", json::Array{"IPv4"});
    set_default(spec, "ipFamilyPolicy", "SingleStack");
    if (const auto type = text_of(spec, "type"); type == "NodePort" || type == "LoadBalancer")
      set_default(spec, "externalTrafficPolicy", "Cluster");
  }

  ApiStatus prepare_create(json::Object& service) const override {
    service["status"] = json::Object{{"loadBalancer", json::Object{}}};
    return set_address(service);
  }

  ApiStatus prepare_update(json::Object& service, const json::Object& old) const override {
    json::Object& spec = child(service, "spec");
    const json::Object& before = *child_if(old, "spec");
    // A client that leaves the address out means to keep it.
    if (text_of(spec, "clusterIP").empty() && text_of(spec, "type") != "ExternalName")
      for (const char* key : {"clusterIP", "clusterIPs"})
        if (const json::Value* value = before.if_contains(key)) spec[key] = *value;
    // One that was an ExternalName gets its first address now.
    if (text_of(spec, "clusterIP").empty()) return set_address(service);
    return {};
  }

  void validate(const json::Object& service, const json::Object* old,
                std::vector<Cause>& causes) const override {
    const json::Object& spec = *child_if(service, "spec");
    const json::Value* ports = spec.if_contains("ports");
    const bool headless = text_of(spec, "clusterIP") == "None";
    if (text_of(spec, "type") != "ExternalName" && !headless &&
        (!ports || !ports->is_array() || ports->get_array().empty()))
      causes.push_back(required_field("spec.ports"));
    if (ports && ports->is_array()) validate_ports(ports->get_array(), causes);
    if (!old) return;
    const auto address = text_of(*child_if(*old, "spec"), "clusterIP");
    if (!address.empty() && address != text_of(spec, "clusterIP") &&
        text_of(spec, "type") != "ExternalName")
      causes.push_back(invalid_field(
          "spec.clusterIPs[0]",
          fmt::format("\"{}\": may not change once set", text_of(spec, "clusterIP"))));
  }

  void committed(const json::Object& service) const override {
    // After a restart the addresses in use are learnt from the store.
    const auto address = text_of(*child_if(service, "spec"), "clusterIP");
    if (!address.empty() && address != "None") (void)addresses_->take(address, owner_of(service));
  }

  void released(const json::Object& service) const override {
    const json::Object* spec = child_if(service, "spec");
    if (spec) addresses_->release(text_of(*spec, "clusterIP"), owner_of(service));
  }

 private:
  ApiStatus set_address(json::Object& service) const {
    json::Object& spec = child(service, "spec");
    if (text_of(spec, "type") == "ExternalName") return {};
    std::string address(text_of(spec, "clusterIP"));
    if (address.empty()) {
      auto allocated = addresses_->allocate(owner_of(service));
      if (!allocated) return status_error(500, "InternalError", allocated.error().message());
      address = *std::move(allocated);
    } else if (address != "None") {
      const auto taken = addresses_->take(address, owner_of(service));
      if (!taken)
        return status_error(422, "Invalid",
                            fmt::format("spec.clusterIPs: Invalid value: [\"{}\"]: failed to "
                                        "allocate IP {}: {}",
                                        address, address, taken.error().message()));
    }
    spec["clusterIP"] = json::String(address);
    spec["clusterIPs"] = json::Array{json::String(address)};
    return {};
  }

  static void validate_ports(const json::Array& ports, std::vector<Cause>& causes) {
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const std::string path = fmt::format("spec.ports[{}]", i);
      const json::Object* port = ports[i].if_object();
      if (!port) {
        causes.push_back(invalid_field(path, "must be an object"));
        continue;
      }
      const auto number = json::find_int(ports[i], "port");
      if (!number || *number < 1 || *number > 65535)
        causes.push_back(invalid_field(path + ".port", "must be between 1 and 65535, inclusive"));
      if (ports.size() > 1 && text_of(*port, "name").empty())
        causes.push_back(required_field(path + ".name"));
    }
  }

  std::shared_ptr<ClusterIpAllocator> addresses_;
};

}  // namespace

std::shared_ptr<const Strategy> service_strategy(std::shared_ptr<ClusterIpAllocator> addresses) {
  return std::make_shared<const ServiceStrategy>(std::move(addresses));
}

}  // namespace apiserver
