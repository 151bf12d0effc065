#include "apiserver/http/request.h"

#include <fmt/format.h>

#include <charconv>

#include "apiserver/http/protobuf.h"
#include "apiserver/objects/metadata.h"
#include "apiserver/resources/table.h"
#include "json/yaml.h"

namespace apiserver {
namespace {

/// As kube-apiserver's.
constexpr std::size_t kMaxBodyBytes = 3 << 20;
constexpr json::ParseLimits kBodyLimits{.max_depth = 64, .max_bytes = kMaxBodyBytes};
constexpr std::size_t kMaxWarnings = 32;

std::string warning_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  out.push_back('"');
  return out;
}

void add_common_headers(ApiRequest& request, net::HttpResponse& response) {
  response.headers.add("Cache-Control", "no-cache, private");
  for (std::size_t i = 0; i < request.warnings.size() && i < kMaxWarnings; ++i)
    response.headers.add("Warning", fmt::format("299 - {}", warning_text(request.warnings[i])));
}

}  // namespace

bool flag_param(const ApiRequest& request, std::string_view key) {
  const auto value = request.head().target.param(key);
  return value && *value != "false" && *value != "0" && *value != "False";
}

ApiResult<std::optional<std::int64_t>> int_param(const ApiRequest& request, std::string_view key) {
  const std::string_view text = request.param(key);
  if (text.empty()) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return bad_request(fmt::format("{}: expected a number, found \"{}\"", key, text));
  return number;
}

ApiResult<std::string> read_body(ApiRequest& request) {
  auto body = request.exchange.read_body(kMaxBodyBytes);
  if (body) return *std::move(body);
  const base::Error& error = body.error();
  if (error.http_status() == 413)
    return status_error(413, "RequestEntityTooLarge",
                        fmt::format("Request entity too large: limit is {}", kMaxBodyBytes));
  if (error.code() == base::ErrorCode::Timeout)
    return status_error(408, "Timeout", "the request body did not arrive in time");
  return bad_request(error.message());
}

ApiResult<json::Value> parse_document(std::string_view body, bool yaml) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return json::Value(nullptr);
  // Everything that apply sends is labelled YAML and nearly all of it is JSON.
  const bool looks_json = body[body.find_first_not_of(" \t\r\n")] == '{';
  if (!yaml || looks_json) {
    auto value = json::parse(body, kBodyLimits);
    if (value) return *std::move(value);
    if (!yaml) return bad_request(value.error().message());
  }
  auto documents = json::parse_yaml(body);
  if (!documents) return bad_request(documents.error().message());
  if (documents->size() != 1)
    return bad_request(
        fmt::format("expected one YAML document in the body, found {}", documents->size()));
  return std::move(documents->front().value);
}

ApiResult<json::Value> read_document(ApiRequest& request) {
  const std::string type = net::media_type(request.head().headers.get_or("Content-Type", ""));
  const bool yaml = type == "application/yaml";
  if (type == kProtobufMediaType) {
    const std::string body = TRY(read_body(request));
    auto document = decode_protobuf(body);
    if (document) return *std::move(document);
    if (document.error().code() == base::ErrorCode::Invalid)
      return bad_request(document.error().message());
    return status_error(415, "UnsupportedMediaType", document.error().message());
  }
  if (!type.empty() && type != "application/json" && !yaml)
    return status_error(415, "UnsupportedMediaType",
                        "the body of the request was in an unknown format - accepted media types "
                        "include: application/json, application/yaml");
  const std::string body = TRY(read_body(request));
  return parse_document(body, yaml);
}

void send_json(ApiRequest& request, int status, std::string text) {
  auto response = net::HttpResponse::json(status, std::move(text));
  add_common_headers(request, response);
  (void)request.exchange.respond(std::move(response));
}

void send_value(ApiRequest& request, int status, const json::Value& value) {
  send_json(request, status, json::dump(value) + "\n");
}

void send_error(ApiRequest& request, const ApiError& error) {
  auto response = net::HttpResponse::json(error.code, json::dump(error.to_status()) + "\n");
  add_common_headers(request, response);
  if (error.retry_after_seconds > 0)
    response.headers.add("Retry-After", fmt::format("{}", error.retry_after_seconds));
  (void)request.exchange.respond(std::move(response));
}

std::string object_text(const Target& target, const StoredObject& object) {
  const std::string wanted = target.api_version();
  if (json::find_string(object.value, "apiVersion") == wanted) return object.text;
  return json::dump(object_value(target, object));
}

json::Value object_value(const Target& target, const StoredObject& object) {
  return ObjectEngine::in_version(*target.definition, *target.version, object);
}

void send_object(ApiRequest& request, const HandlerDeps& deps, const Answer& answer,
                 const Target& target, int status, const StoredObject& object) {
  if (answer.view == View::Object && answer.encoding == Encoding::Json)
    return send_json(request, status, object_text(target, object) + "\n");
  json::Value value = object_value(target, object);
  if (answer.view == View::Partial) value = partial_metadata(value);
  if (answer.view == View::Table) {
    const std::string_view include = request.param("includeObject");
    const auto part = include == "Object" ? TableInclude::Object
                      : include == "None" ? TableInclude::None
                                          : TableInclude::Metadata;
    json::Object table = make_table(*target.definition, *target.version);
    child(table, "metadata")["resourceVersion"] = json::String(fmt::format("{}", object.revision));
    table["rows"].get_array().push_back(
        make_row(*target.definition, *target.version, value, part, deps.clock.now()));
    value = std::move(table);
  }
  if (answer.encoding == Encoding::Json) return send_value(request, status, value);
  net::HttpResponse response;
  response.status = status;
  response.headers.add("Content-Type", "application/yaml");
  response.body = json::dump_yaml(value);
  add_common_headers(request, response);
  (void)request.exchange.respond(std::move(response));
}

ApiResult<WriteOptions> write_options(const ApiRequest& request) {
  WriteOptions options;
  options.user = request.user;
  for (const auto& [key, value] : request.head().target.query) {
    if (key != "dryRun" || value.empty()) continue;
    if (value != "All") return bad_request(fmt::format("dryRun: unknown value \"{}\"", value));
    options.dry_run = true;
  }
  options.field_manager = request.param("fieldManager");
  if (options.field_manager.empty()) {
    const std::string_view agent = request.head().headers.get_or("User-Agent", "unknown");
    options.field_manager = agent.substr(0, agent.find('/'));
  }
  constexpr std::size_t kMaxManager = 128;
  if (options.field_manager.size() > kMaxManager)
    return bad_request(fmt::format("fieldManager: may not be more than {} bytes", kMaxManager));
  const std::string_view validation = request.param("fieldValidation");
  if (validation == "Strict") {
    options.field_validation = FieldValidation::Strict;
  } else if (validation == "Ignore") {
    options.field_validation = FieldValidation::Ignore;
  } else if (!validation.empty() && validation != "Warn") {
    return bad_request(fmt::format(
        "fieldValidation: unknown value \"{}\", expected Ignore, Warn or Strict", validation));
  }
  options.force = flag_param(request, "force");
  return options;
}

ApiResult<Selection> selection_of(const ApiRequest& request) {
  Selection selection;
  auto labels = LabelQuery::parse(request.param("labelSelector"));
  if (!labels) return bad_request(labels.error().message());
  auto fields = FieldQuery::parse(request.param("fieldSelector"));
  if (!fields) return bad_request(fields.error().message());
  selection.labels = *std::move(labels);
  selection.fields = *std::move(fields);
  return selection;
}

}  // namespace apiserver
