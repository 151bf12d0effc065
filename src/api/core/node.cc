#include "api/core/node.h"

#include <algorithm>

namespace api {

bool is_node_ready(const Node& node) {
  return std::ranges::any_of(node.status.conditions, [](const NodeCondition& condition) {
    return condition.type == "Ready" && condition.status == "True";
  });
}

}  // namespace api

namespace json {

template base::Result<api::Node> decode(const Value&);
template Value encode(const api::Node&);

}  // namespace json
