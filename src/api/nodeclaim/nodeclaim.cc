#include "api/nodeclaim/nodeclaim.h"

namespace json {

template base::Result<api::NodeClaim> decode(const Value&);
template Value encode(const api::NodeClaim&);

}  // namespace json
