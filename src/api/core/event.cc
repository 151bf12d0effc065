#include "api/core/event.h"

namespace json {

template base::Result<api::Event> decode(const Value&);
template Value encode(const api::Event&);

}  // namespace json
