#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/int_or_string.h"
#include "api/core/references.h"
#include "api/core/unread.h"
#include "api/meta.h"

/// core/v1 Service and Endpoints: one address for many pods.
namespace api {

struct ServicePort {
  std::string name{};
  std::string protocol{};  ///< "" means TCP.
  std::optional<std::string> app_protocol{};
  std::int32_t port = 0;
  IntOrString target_port{};
  std::int32_t node_port = 0;
};
template <class V>
void describe(V& v, ServicePort& p) {
  v.field("name", p.name, Presence::Optional, "Name, when there are several.");
  v.field("protocol", p.protocol, Presence::Optional, "TCP, UDP or SCTP.",
          {.default_json = "\"TCP\""});
  v.field("appProtocol", p.app_protocol, Presence::Optional, "What is spoken on it.");
  v.field("port", p.port, Presence::Required, "Port of the Service.");
  v.field("targetPort", p.target_port, Presence::Optional, "Port of the pods.");
  v.field("nodePort", p.node_port, Presence::Optional, "Port on every node.");
}

struct ServiceSpec {
  std::vector<ServicePort> ports{};
  std::map<std::string, std::string> selector{};
  std::string cluster_ip{};
  std::vector<std::string> cluster_ips{};
  std::string type{};
  std::vector<std::string> external_ips{};
  std::string session_affinity{};
  std::string load_balancer_ip{};
  std::string external_name{};
  std::string external_traffic_policy{};
  std::string internal_traffic_policy{};
  bool publish_not_ready_addresses = false;
  std::vector<std::string> ip_families{};
  std::string ip_family_policy{};
  Unread unread{};
};
template <class V>
void describe(V& v, ServiceSpec& s) {
  v.field("ports", s.ports, Presence::Optional, "Ports it offers.",
          {.merge_key = "port", .merge_key_2 = "protocol"});
  v.field("selector", s.selector, Presence::Optional, "Labels of its pods.", {.atomic_map = true});
  v.field("clusterIP", s.cluster_ip, Presence::Optional, "Its address, or None.");
  v.field("clusterIPs", s.cluster_ips, Presence::Optional, "Its addresses.",
          {.list_type = "atomic"});
  v.field("type", s.type, Presence::Optional, "ClusterIP, NodePort, LoadBalancer or ExternalName.");
  v.field("externalIPs", s.external_ips, Presence::Optional, "Further addresses.",
          {.list_type = "atomic"});
  v.field("sessionAffinity", s.session_affinity, Presence::Optional, "ClientIP or None.");
  v.field("loadBalancerIP", s.load_balancer_ip, Presence::Optional,
          "Wanted address of a load balancer.");
  v.field("externalName", s.external_name, Presence::Optional, "Name an ExternalName stands for.");
  v.field("externalTrafficPolicy", s.external_traffic_policy, Presence::Optional,
          "Cluster or Local.");
  v.field("internalTrafficPolicy", s.internal_traffic_policy, Presence::Optional,
          "Cluster or Local.");
  v.field("publishNotReadyAddresses", s.publish_not_ready_addresses, Presence::Optional,
          "Names pods before they are ready.");
  v.field("ipFamilies", s.ip_families, Presence::Optional, "IPv4 or IPv6.",
          {.list_type = "atomic"});
  v.field("ipFamilyPolicy", s.ip_family_policy, Presence::Optional,
          "SingleStack, PreferDualStack or RequireDualStack.");
  v.field("allocateLoadBalancerNodePorts", s.unread, Presence::Optional,
          "Whether a load balancer gets node ports.");
  v.field("healthCheckNodePort", s.unread, Presence::Optional, "Node port of the health check.");
  v.field("loadBalancerClass", s.unread, Presence::Optional, "Who provides the load balancer.");
  v.field("loadBalancerSourceRanges", s.unread, Presence::Optional,
          "Who may use the load balancer.");
  v.field("sessionAffinityConfig", s.unread, Presence::Optional,
          "How long a client keeps its pod.");
  v.field("trafficDistribution", s.unread, Presence::Optional, "Which pods are preferred.");
}

struct Service {
  static constexpr ResourceType kType{"", "v1", "services", "Service", true};
  ObjectMeta metadata{};
  ServiceSpec spec{};
  std::optional<json::Object> status{};
};
template <class V>
void describe(V& v, Service& s) {
  v.type("One stable address for a changing set of pods.");
  describe_root(v, s);
  v.field("spec", s.spec, Presence::Optional, "What it offers.");
  v.field("status", s.status, Presence::Optional, "What a load balancer gave.");
}

struct EndpointAddress {
  std::string ip{};
  std::string hostname{};
  std::optional<std::string> node_name{};
  std::optional<ObjectReference> target_ref{};
};
template <class V>
void describe(V& v, EndpointAddress& a) {
  v.field("ip", a.ip, Presence::Required, "Address of the pod.");
  v.field("hostname", a.hostname, Presence::Optional, "Host name of the pod.");
  v.field("nodeName", a.node_name, Presence::Optional, "Node of the pod.");
  v.field("targetRef", a.target_ref, Presence::Optional, "The pod.");
}

struct EndpointPort {
  std::string name{};
  std::int32_t port = 0;
  std::string protocol{};
  Unread unread{};
};
template <class V>
void describe(V& v, EndpointPort& p) {
  v.field("name", p.name, Presence::Optional, "Name of the Service's port.");
  v.field("port", p.port, Presence::Required, "Port of the pods.");
  v.field("protocol", p.protocol, Presence::Optional, "TCP, UDP or SCTP.");
  v.field("appProtocol", p.unread, Presence::Optional, "What is spoken on it.");
}

struct EndpointSubset {
  std::vector<EndpointAddress> addresses{};
  std::vector<EndpointAddress> not_ready_addresses{};
  std::vector<EndpointPort> ports{};
};
template <class V>
void describe(V& v, EndpointSubset& s) {
  v.field("addresses", s.addresses, Presence::Optional, "Pods that are ready.",
          {.list_type = "atomic"});
  v.field("notReadyAddresses", s.not_ready_addresses, Presence::Optional, "Pods that are not.",
          {.list_type = "atomic"});
  v.field("ports", s.ports, Presence::Optional, "Ports of all of them.", {.list_type = "atomic"});
}

struct Endpoints {
  static constexpr ResourceType kType{"", "v1", "endpoints", "Endpoints", true};
  ObjectMeta metadata{};
  std::vector<EndpointSubset> subsets{};
};
template <class V>
void describe(V& v, Endpoints& e) {
  v.type("The pods behind a Service.");
  describe_root(v, e);
  v.field("subsets", e.subsets, Presence::Optional, "Addresses with common ports.",
          {.list_type = "atomic"});
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Service> decode(const Value&);
extern template Value encode(const api::Service&);
extern template base::Result<api::Endpoints> decode(const Value&);
extern template Value encode(const api::Endpoints&);
}  // namespace json
