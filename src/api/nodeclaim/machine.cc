#include "api/nodeclaim/machine.h"

namespace json {

template base::Result<api::Machine> decode(const Value&);
template Value encode(const api::Machine&);

}  // namespace json
