#include "api/apps.h"

namespace json {

template base::Result<api::StatefulSet> decode(const Value&);
template Value encode(const api::StatefulSet&);
template base::Result<api::ControllerRevision> decode(const Value&);
template Value encode(const api::ControllerRevision&);

}  // namespace json
