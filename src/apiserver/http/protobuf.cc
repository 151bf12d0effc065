#include "apiserver/http/protobuf.h"

#include <fmt/format.h>

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/encoding.h"

/// Field numbers are those of the generated.proto files of Kubernetes 1.32.
namespace apiserver {
namespace {

constexpr std::string_view kMagic("k8s\0", 4);

enum class Type {
  String,
  Bytes,
  Int,
  Bool,
  Message,
  Time,
  StringMap,
  BytesMap,
  QuantityMap,
  IntOrString
};
/// Whether an empty value means "absent" (Go's non-pointers) or was set (pointers).
enum class Zero { Drop, Keep };
enum class Count { One, Many };

struct Message;
struct Field {
  std::uint32_t number;
  std::string_view name;
  Type type = Type::String;
  Zero zero = Zero::Drop;
  Count count = Count::One;
  const Message* message = nullptr;
};
struct Message {
  std::string_view name;
  std::span<const Field> fields;
};

constexpr Field message(std::uint32_t number, std::string_view name, const Message& type,
                        Zero zero = Zero::Drop, Count count = Count::One) {
  return {number, name, Type::Message, zero, count, &type};
}
constexpr Field strings(std::uint32_t number, std::string_view name) {
  return {number, name, Type::String, Zero::Keep, Count::Many};
}
constexpr Field pointer(std::uint32_t number, std::string_view name, Type type) {
  return {number, name, type, Zero::Keep};
}

constexpr Field kOwnerFields[] = {{1, "kind"},
                                  {3, "name"},
                                  {4, "uid"},
                                  {5, "apiVersion"},
                                  pointer(6, "controller", Type::Bool),
                                  pointer(7, "blockOwnerDeletion", Type::Bool)};
constexpr Message kOwner{"OwnerReference", kOwnerFields};
constexpr Field kMetaFields[] = {{1, "name"},
                                 {2, "generateName"},
                                 {3, "namespace"},
                                 {4, "selfLink"},
                                 {5, "uid"},
                                 {6, "resourceVersion"},
                                 {7, "generation", Type::Int},
                                 {8, "creationTimestamp", Type::Time},
                                 {9, "deletionTimestamp", Type::Time},
                                 pointer(10, "deletionGracePeriodSeconds", Type::Int),
                                 {11, "labels", Type::StringMap},
                                 {12, "annotations", Type::StringMap},
                                 message(13, "ownerReferences", kOwner, Zero::Keep, Count::Many),
                                 strings(14, "finalizers")};
constexpr Message kMeta{"ObjectMeta", kMetaFields};

constexpr Field kConfigMapFields[] = {message(1, "metadata", kMeta),
                                      {2, "data", Type::StringMap},
                                      {3, "binaryData", Type::BytesMap},
                                      pointer(4, "immutable", Type::Bool)};
constexpr Message kConfigMap{"ConfigMap", kConfigMapFields};
constexpr Field kSecretFields[] = {message(1, "metadata", kMeta),
                                   {2, "data", Type::BytesMap},
                                   {3, "type"},
                                   {4, "stringData", Type::StringMap},
                                   pointer(5, "immutable", Type::Bool)};
constexpr Message kSecret{"Secret", kSecretFields};

constexpr Field kNamespaceSpecFields[] = {strings(1, "finalizers")};
constexpr Message kNamespaceSpec{"NamespaceSpec", kNamespaceSpecFields};
constexpr Field kNamespaceStatusFields[] = {{1, "phase"}};
constexpr Message kNamespaceStatus{"NamespaceStatus", kNamespaceStatusFields};
constexpr Field kNamespaceFields[] = {message(1, "metadata", kMeta),
                                      message(2, "spec", kNamespaceSpec),
                                      message(3, "status", kNamespaceStatus)};
constexpr Message kNamespace{"Namespace", kNamespaceFields};

constexpr Field kNameFields[] = {{1, "name"}};
constexpr Message kLocalReference{"LocalObjectReference", kNameFields};
constexpr Field kReferenceFields[] = {{1, "kind"},     {2, "namespace"},  {3, "name"},
                                      {4, "uid"},      {5, "apiVersion"}, {6, "resourceVersion"},
                                      {7, "fieldPath"}};
constexpr Message kReference{"ObjectReference", kReferenceFields};
constexpr Field kServiceAccountFields[] = {
    message(1, "metadata", kMeta), message(2, "secrets", kReference, Zero::Keep, Count::Many),
    message(3, "imagePullSecrets", kLocalReference, Zero::Keep, Count::Many),
    pointer(4, "automountServiceAccountToken", Type::Bool)};
constexpr Message kServiceAccount{"ServiceAccount", kServiceAccountFields};

constexpr Field kServicePortFields[] = {{1, "name"},
                                        {2, "protocol"},
                                        {3, "port", Type::Int},
                                        {4, "targetPort", Type::IntOrString},
                                        {5, "nodePort", Type::Int},
                                        pointer(6, "appProtocol", Type::String)};
constexpr Message kServicePort{"ServicePort", kServicePortFields};
constexpr Field kServiceSpecFields[] = {message(1, "ports", kServicePort, Zero::Keep, Count::Many),
                                        {2, "selector", Type::StringMap},
                                        {3, "clusterIP"},
                                        {4, "type"},
                                        strings(5, "externalIPs"),
                                        {7, "sessionAffinity"},
                                        {8, "loadBalancerIP"},
                                        strings(9, "loadBalancerSourceRanges"),
                                        {10, "externalName"},
                                        {11, "externalTrafficPolicy"},
                                        {12, "healthCheckNodePort", Type::Int},
                                        {13, "publishNotReadyAddresses", Type::Bool},
                                        pointer(17, "ipFamilyPolicy", Type::String),
                                        strings(18, "clusterIPs"),
                                        strings(19, "ipFamilies"),
                                        pointer(20, "allocateLoadBalancerNodePorts", Type::Bool),
                                        pointer(21, "loadBalancerClass", Type::String),
                                        pointer(22, "internalTrafficPolicy", Type::String)};
constexpr Message kServiceSpec{"ServiceSpec", kServiceSpecFields};
/// The server writes these itself: whatever a client sends is dropped.
constexpr Message kIgnored{"", {}};
constexpr Field kServiceFields[] = {message(1, "metadata", kMeta), message(2, "spec", kServiceSpec),
                                    message(3, "status", kIgnored)};
constexpr Message kService{"Service", kServiceFields};

constexpr Field kEnvFields[] = {{1, "name"}, {2, "value"}};
constexpr Message kEnv{"EnvVar", kEnvFields};
constexpr Field kContainerPortFields[] = {{1, "name"},
                                          {2, "hostPort", Type::Int},
                                          {3, "containerPort", Type::Int},
                                          {4, "protocol"},
                                          {5, "hostIP"}};
constexpr Message kContainerPort{"ContainerPort", kContainerPortFields};
constexpr Field kResourcesFields[] = {{1, "limits", Type::QuantityMap},
                                      {2, "requests", Type::QuantityMap}};
constexpr Message kResources{"ResourceRequirements", kResourcesFields};
constexpr Field kContainerFields[] = {{1, "name"},
                                      {2, "image"},
                                      strings(3, "command"),
                                      strings(4, "args"),
                                      {5, "workingDir"},
                                      message(6, "ports", kContainerPort, Zero::Keep, Count::Many),
                                      message(7, "env", kEnv, Zero::Keep, Count::Many),
                                      message(8, "resources", kResources),
                                      {13, "terminationMessagePath"},
                                      {14, "imagePullPolicy"},
                                      {16, "stdin", Type::Bool},
                                      {17, "stdinOnce", Type::Bool},
                                      {18, "tty", Type::Bool},
                                      {20, "terminationMessagePolicy"}};
constexpr Message kContainer{"Container", kContainerFields};
constexpr Field kPodSpecFields[] = {
    message(2, "containers", kContainer, Zero::Keep, Count::Many),
    {3, "restartPolicy"},
    pointer(4, "terminationGracePeriodSeconds", Type::Int),
    pointer(5, "activeDeadlineSeconds", Type::Int),
    {6, "dnsPolicy"},
    {7, "nodeSelector", Type::StringMap},
    {8, "serviceAccountName"},
    {9, "serviceAccount"},
    {10, "nodeName"},
    {11, "hostNetwork", Type::Bool},
    {12, "hostPID", Type::Bool},
    {13, "hostIPC", Type::Bool},
    message(15, "imagePullSecrets", kLocalReference, Zero::Keep, Count::Many),
    {16, "hostname"},
    {17, "subdomain"},
    {19, "schedulerName"},
    message(20, "initContainers", kContainer, Zero::Keep, Count::Many),
    {24, "priorityClassName"}};
constexpr Message kPodSpec{"PodSpec", kPodSpecFields};
constexpr Field kTemplateFields[] = {message(1, "metadata", kMeta), message(2, "spec", kPodSpec)};
constexpr Message kTemplate{"PodTemplateSpec", kTemplateFields};
constexpr Field kJobSpecFields[] = {pointer(1, "parallelism", Type::Int),
                                    pointer(2, "completions", Type::Int),
                                    pointer(3, "activeDeadlineSeconds", Type::Int),
                                    pointer(5, "manualSelector", Type::Bool),
                                    message(6, "template", kTemplate),
                                    pointer(7, "backoffLimit", Type::Int),
                                    pointer(8, "ttlSecondsAfterFinished", Type::Int),
                                    pointer(9, "completionMode", Type::String),
                                    pointer(10, "suspend", Type::Bool)};
constexpr Message kJobSpec{"JobSpec", kJobSpecFields};
constexpr Field kJobFields[] = {message(1, "metadata", kMeta), message(2, "spec", kJobSpec),
                                message(3, "status", kIgnored)};
constexpr Message kJob{"Job", kJobFields};

constexpr Field kPreconditionFields[] = {pointer(1, "uid", Type::String),
                                         pointer(2, "resourceVersion", Type::String)};
constexpr Message kPreconditions{"Preconditions", kPreconditionFields};
constexpr Field kDeleteOptionsFields[] = {pointer(1, "gracePeriodSeconds", Type::Int),
                                          message(2, "preconditions", kPreconditions, Zero::Keep),
                                          pointer(3, "orphanDependents", Type::Bool),
                                          pointer(4, "propagationPolicy", Type::String),
                                          strings(5, "dryRun")};
constexpr Message kDeleteOptions{"DeleteOptions", kDeleteOptionsFields};
constexpr Field kEvictionFields[] = {message(1, "metadata", kMeta),
                                     message(2, "deleteOptions", kDeleteOptions)};
constexpr Message kEviction{"Eviction", kEvictionFields};

constexpr Field kResourceAttributesFields[] = {
    {1, "namespace"}, {2, "verb"},        {3, "group"}, {4, "version"},
    {5, "resource"},  {6, "subresource"}, {7, "name"}};
constexpr Message kResourceAttributes{"ResourceAttributes", kResourceAttributesFields};
constexpr Field kUrlAttributesFields[] = {{1, "path"}, {2, "verb"}};
constexpr Message kUrlAttributes{"NonResourceAttributes", kUrlAttributesFields};
constexpr Field kAccessSpecFields[] = {
    message(1, "resourceAttributes", kResourceAttributes, Zero::Keep),
    message(2, "nonResourceAttributes", kUrlAttributes, Zero::Keep)};
constexpr Message kAccessSpec{"SelfSubjectAccessReviewSpec", kAccessSpecFields};
constexpr Field kAccessFields[] = {message(1, "metadata", kMeta), message(2, "spec", kAccessSpec),
                                   message(3, "status", kIgnored)};
constexpr Message kAccess{"SelfSubjectAccessReview", kAccessFields};
constexpr Field kRulesSpecFields[] = {{1, "namespace"}};
constexpr Message kRulesSpec{"SelfSubjectRulesReviewSpec", kRulesSpecFields};
constexpr Field kRulesFields[] = {message(1, "metadata", kMeta), message(2, "spec", kRulesSpec),
                                  message(3, "status", kIgnored)};
constexpr Message kRules{"SelfSubjectRulesReview", kRulesFields};
constexpr Field kSelfFields[] = {message(1, "metadata", kMeta), message(2, "status", kIgnored)};
constexpr Message kSelf{"SelfSubjectReview", kSelfFields};

constexpr const Message* kKinds[] = {&kConfigMap, &kSecret,        &kNamespace, &kServiceAccount,
                                     &kService,   &kJob,           &kAccess,    &kRules,
                                     &kSelf,      &kDeleteOptions, &kEviction};

/// Walks the wire format.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool at_end() const { return bytes_.empty(); }

  base::Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) return broken();
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return broken();
  }
  base::Result<std::string_view> chunk() {
    const std::uint64_t size = TRY(varint());
    if (size > bytes_.size()) return broken();
    const auto out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  static base::Error broken() {
    return base::Error(base::ErrorCode::Invalid, "broken protobuf in the body");
  }

 private:
  std::string_view bytes_;
};

/// One field as it stands on the wire.
struct Raw {
  std::uint32_t number = 0;
  bool is_chunk = false;
  std::uint64_t number_value = 0;
  std::string_view chunk;
  bool is_zero() const { return is_chunk ? chunk.empty() : number_value == 0; }
};

base::Result<Raw> next_field(Reader& reader) {
  const std::uint64_t tag = TRY(reader.varint());
  Raw raw;
  raw.number = static_cast<std::uint32_t>(tag >> 3);
  const auto wire = tag & 7;
  if (wire == 0) {
    raw.number_value = TRY(reader.varint());
  } else if (wire == 2) {
    raw.is_chunk = true;
    raw.chunk = TRY(reader.chunk());
  } else {
    return Reader::broken();
  }
  return raw;
}

/// The chunk of field `number`, or "".
base::Result<std::string_view> chunk_of(std::string_view bytes, std::uint32_t number) {
  Reader reader(bytes);
  std::string_view found;
  while (!reader.at_end()) {
    const Raw raw = TRY(next_field(reader));
    if (raw.number == number && raw.is_chunk) found = raw.chunk;
  }
  return found;
}

base::Result<json::Value> decode_text(std::string_view bytes) {
  if (!base::is_utf8(bytes))
    return base::Error(base::ErrorCode::Invalid, "text in the body is not UTF-8");
  return json::Value(json::String(bytes));
}

base::Result<json::Value> decode_time(std::string_view bytes) {
  Reader reader(bytes);
  std::uint64_t seconds = 0;
  while (!reader.at_end()) {
    const Raw raw = TRY(next_field(reader));
    if (raw.number == 1) seconds = raw.number_value;
  }
  if (seconds == 0) return json::Value(nullptr);
  const base::SystemTime time{std::chrono::seconds(seconds)};
  return json::Value(json::String(base::format_rfc3339(time)));
}

base::Result<json::Value> decode_int_or_string(std::string_view bytes) {
  Reader reader(bytes);
  bool is_string = false;
  std::int64_t number = 0;
  std::string_view text;
  while (!reader.at_end()) {
    const Raw raw = TRY(next_field(reader));
    if (raw.number == 1) is_string = raw.number_value == 1;
    if (raw.number == 2) number = static_cast<std::int64_t>(raw.number_value);
    if (raw.number == 3) text = raw.chunk;
  }
  if (is_string) return decode_text(text);
  return number == 0 ? json::Value(nullptr) : json::Value(number);
}

base::Status add_map_entry(json::Object& map, Type type, std::string_view bytes) {
  const std::string_view key = TRY(chunk_of(bytes, 1));
  std::string_view value = TRY(chunk_of(bytes, 2));
  if (!base::is_utf8(key)) return Reader::broken();
  if (type == Type::BytesMap) {
    map[key] = json::String(base::to_base64(value));
    return {};
  }
  // A quantity is a message that holds its text.
  if (type == Type::QuantityMap) value = TRY(chunk_of(value, 1));
  map[key] = TRY(decode_text(value));
  return {};
}

base::Result<json::Object> decode_message(const Message& type, std::string_view bytes);

base::Result<json::Value> decode_value(const Field& field, const Raw& raw) {
  switch (field.type) {
    case Type::String:
      return decode_text(raw.chunk);
    case Type::Bytes:
      return json::Value(json::String(base::to_base64(raw.chunk)));
    case Type::Int:
      return json::Value(static_cast<std::int64_t>(raw.number_value));
    case Type::Bool:
      return json::Value(raw.number_value != 0);
    case Type::Time:
      return decode_time(raw.chunk);
    case Type::IntOrString:
      return decode_int_or_string(raw.chunk);
    case Type::Message:
      return json::Value(TRY(decode_message(*field.message, raw.chunk)));
    default:
      return Reader::broken();
  }
}

const Field* find_field(const Message& type, std::uint32_t number) {
  for (const Field& field : type.fields)
    if (field.number == number) return &field;
  return nullptr;
}

bool is_empty_value(const json::Value& value) {
  return value.is_null() || (value.is_object() && value.get_object().empty());
}

base::Result<json::Object> decode_message(const Message& type, std::string_view bytes) {
  json::Object out;
  if (type.name.empty()) return out;
  Reader reader(bytes);
  while (!reader.at_end()) {
    const Raw raw = TRY(next_field(reader));
    const Field* field = find_field(type, raw.number);
    if (!field) {
      if (raw.is_zero()) continue;
      return base::Error(base::ErrorCode::Forbidden,
                         fmt::format("field {} of {} is not supported in protobuf: send JSON",
                                     raw.number, type.name));
    }
    if (field->type == Type::StringMap || field->type == Type::BytesMap ||
        field->type == Type::QuantityMap) {
      json::Value& map = out[field->name];
      if (!map.is_object()) map = json::Object{};
      TRY(add_map_entry(map.get_object(), field->type, raw.chunk));
      continue;
    }
    if (field->zero == Zero::Drop && raw.is_zero()) continue;
    json::Value value = TRY(decode_value(*field, raw));
    if (field->zero == Zero::Drop && is_empty_value(value)) continue;
    if (field->count == Count::One) {
      out[field->name] = std::move(value);
      continue;
    }
    json::Value& list = out[field->name];
    if (!list.is_array()) list = json::Array{};
    list.get_array().push_back(std::move(value));
  }
  return out;
}

}  // namespace

base::Result<json::Value> decode_protobuf(std::string_view body) {
  if (!body.starts_with(kMagic))
    return base::Error(base::ErrorCode::Invalid, "the body does not start as Kubernetes protobuf");
  body.remove_prefix(kMagic.size());
  // runtime.Unknown: 1 the type, 2 the object.
  const std::string_view about = TRY(chunk_of(body, 1));
  const std::string_view object = TRY(chunk_of(body, 2));
  const std::string_view api_version = TRY(chunk_of(about, 1));
  const std::string_view kind = TRY(chunk_of(about, 2));
  for (const Message* candidate : kKinds) {
    if (candidate->name != kind) continue;
    json::Object out{{"apiVersion", json::String(api_version)}, {"kind", json::String(kind)}};
    json::Object members = TRY(decode_message(*candidate, object));
    for (auto& member : members) out[member.key()] = std::move(member.value());
    return json::Value(std::move(out));
  }
  return base::Error(base::ErrorCode::Forbidden,
                     fmt::format("kind \"{}\" is not supported in protobuf: send JSON", kind));
}

}  // namespace apiserver
