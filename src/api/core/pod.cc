#include "api/core/pod.h"

namespace json {

template base::Result<api::Pod> decode(const Value&);
template Value encode(const api::Pod&);

}  // namespace json
