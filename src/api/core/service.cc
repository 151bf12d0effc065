#include "api/core/service.h"

namespace json {

template base::Result<api::Service> decode(const Value&);
template Value encode(const api::Service&);
template base::Result<api::Endpoints> decode(const Value&);
template Value encode(const api::Endpoints&);

}  // namespace json
