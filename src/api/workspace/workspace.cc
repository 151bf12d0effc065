#include "api/workspace/workspace.h"

namespace json {

template base::Result<api::Workspace> decode(const Value&);
template Value encode(const api::Workspace&);

}  // namespace json
