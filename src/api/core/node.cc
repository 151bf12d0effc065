#include "api/core/node.h"

namespace json {

template base::Result<api::Node> decode(const Value&);
template Value encode(const api::Node&);

}  // namespace json
