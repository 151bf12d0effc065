#include "api/batch.h"

namespace json {

template base::Result<api::Job> decode(const Value&);
template Value encode(const api::Job&);

}  // namespace json
