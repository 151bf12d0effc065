#include <cstdint>
#include <string_view>

#include "apiserver/schema/openapi.h"
#include "apiserver/schema/protobuf_writer.h"

/// Version 2 as the openapi.v2.Document message of gnostic's OpenAPIv2.proto. The functions are
/// named after the messages; the numbers are those of the .proto file.
namespace apiserver {
namespace {

std::string_view text_of(const json::Object& object, std::string_view key) {
  const json::Value* value = object.if_contains(key);
  const json::String* text = value ? value->if_string() : nullptr;
  return text ? json::view(*text) : std::string_view();
}

bool flag_of(const json::Object& object, std::string_view key) {
  const json::Value* value = object.if_contains(key);
  return value && value->is_bool() && value->get_bool();
}

double number_of(const json::Object& object, std::string_view key) {
  const json::Value* value = object.if_contains(key);
  return value && value->is_number() ? value->to_number<double>() : 0;
}

void write_integer(ProtobufWriter& out, std::uint32_t field, const json::Object& object,
                   std::string_view key) {
  out.integer(field, static_cast<std::int64_t>(number_of(object, key)));
}

const json::Object* object_of(const json::Object& object, std::string_view key) {
  const json::Value* value = object.if_contains(key);
  return value ? value->if_object() : nullptr;
}

void write_strings(ProtobufWriter& out, std::uint32_t field, const json::Object& object,
                   std::string_view key) {
  const json::Value* value = object.if_contains(key);
  const json::Array* array = value ? value->if_array() : nullptr;
  if (!array) return;
  for (const json::Value& element : *array) {
    if (const json::String* text = element.if_string()) out.element(field, json::view(*text));
  }
}

ProtobufWriter any(const json::Value& value) {
  ProtobufWriter out;
  out.text(2, json::dump(value));  // JSON is YAML.
  return out;
}

ProtobufWriter named(std::string_view name, const ProtobufWriter& value) {
  ProtobufWriter out;
  out.text(1, name);
  out.message(2, value);
  return out;
}

void write_extensions(ProtobufWriter& out, std::uint32_t field, const json::Object& object) {
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key.starts_with("x-")) out.message(field, named(key, any(member.value())));
  }
}

ProtobufWriter schema(const json::Object& in);

ProtobufWriter named_schemas(const json::Object& in) {
  ProtobufWriter out;
  for (const auto& member : in) {
    const json::Object* value = member.value().if_object();
    if (!value) continue;
    out.message(1, named({member.key().data(), member.key().size()}, schema(*value)));
  }
  return out;
}

void write_type(ProtobufWriter& out, const json::Object& in) {
  ProtobufWriter type;
  if (const auto name = text_of(in, "type"); !name.empty()) {
    type.element(1, name);
    out.message(22, type);
  }
}

void write_additional_properties(ProtobufWriter& out, const json::Object& in) {
  const json::Value* value = in.if_contains("additionalProperties");
  if (!value) return;
  ProtobufWriter item;
  if (const json::Object* rules = value->if_object()) {
    item.message(1, schema(*rules));
  } else {
    item.boolean(2, value->is_bool() && value->get_bool());
  }
  out.message(21, item);
}

ProtobufWriter schema(const json::Object& in) {
  ProtobufWriter out;
  out.text(1, text_of(in, "$ref"));
  out.text(2, text_of(in, "format"));
  out.text(3, text_of(in, "title"));
  out.text(4, text_of(in, "description"));
  out.real(6, number_of(in, "multipleOf"));
  out.real(7, number_of(in, "maximum"));
  out.boolean(8, flag_of(in, "exclusiveMaximum"));
  out.real(9, number_of(in, "minimum"));
  out.boolean(10, flag_of(in, "exclusiveMinimum"));
  write_integer(out, 11, in, "maxLength");
  write_integer(out, 12, in, "minLength");
  out.text(13, text_of(in, "pattern"));
  write_integer(out, 14, in, "maxItems");
  write_integer(out, 15, in, "minItems");
  out.boolean(16, flag_of(in, "uniqueItems"));
  write_integer(out, 17, in, "maxProperties");
  write_integer(out, 18, in, "minProperties");
  write_strings(out, 19, in, "required");
  if (const json::Value* values = in.if_contains("enum"); values && values->is_array()) {
    for (const json::Value& value : values->get_array()) out.message(20, any(value));
  }
  write_additional_properties(out, in);
  write_type(out, in);
  if (const json::Object* items = object_of(in, "items")) {
    ProtobufWriter item;
    item.message(1, schema(*items));
    out.message(23, item);
  }
  if (const json::Object* properties = object_of(in, "properties")) {
    out.message(25, named_schemas(*properties));
  }
  write_extensions(out, 31, in);
  return out;
}

ProtobufWriter body_parameter(const json::Object& in) {
  ProtobufWriter out;
  out.text(1, text_of(in, "description"));
  out.text(2, text_of(in, "name"));
  out.text(3, "body");
  out.boolean(4, flag_of(in, "required"));
  if (const json::Object* rules = object_of(in, "schema")) out.message(5, schema(*rules));
  return out;
}

ProtobufWriter query_parameter(const json::Object& in) {
  ProtobufWriter out;
  out.boolean(1, flag_of(in, "required"));
  out.text(2, "query");
  out.text(3, text_of(in, "description"));
  out.text(4, text_of(in, "name"));
  out.text(6, text_of(in, "type"));
  out.boolean(20, flag_of(in, "uniqueItems"));
  return out;
}

ProtobufWriter path_parameter(const json::Object& in) {
  ProtobufWriter out;
  out.boolean(1, flag_of(in, "required"));
  out.text(2, "path");
  out.text(3, text_of(in, "description"));
  out.text(4, text_of(in, "name"));
  out.text(5, text_of(in, "type"));
  out.boolean(19, flag_of(in, "uniqueItems"));
  return out;
}

/// ParametersItem { Parameter { BodyParameter | NonBodyParameter } }.
ProtobufWriter parameters_item(const json::Object& in) {
  ProtobufWriter parameter;
  const std::string_view place = text_of(in, "in");
  if (place == "body") {
    parameter.message(1, body_parameter(in));
  } else {
    ProtobufWriter non_body;
    if (place == "path") {
      non_body.message(4, path_parameter(in));
    } else {
      non_body.message(3, query_parameter(in));
    }
    parameter.message(2, non_body);
  }
  ProtobufWriter out;
  out.message(1, parameter);
  return out;
}

void write_parameters(ProtobufWriter& out, std::uint32_t field, const json::Object& in) {
  const json::Value* value = in.if_contains("parameters");
  const json::Array* array = value ? value->if_array() : nullptr;
  if (!array) return;
  for (const json::Value& element : *array) {
    if (const json::Object* parameter = element.if_object()) {
      out.message(field, parameters_item(*parameter));
    }
  }
}

ProtobufWriter responses(const json::Object& in) {
  ProtobufWriter out;
  for (const auto& member : in) {
    const json::Object* value = member.value().if_object();
    if (!value) continue;
    ProtobufWriter response;
    response.text(1, text_of(*value, "description"));
    if (const json::Object* rules = object_of(*value, "schema")) {
      ProtobufWriter item;
      item.message(1, schema(*rules));
      response.message(2, item);
    }
    ProtobufWriter response_value;
    response_value.message(1, response);
    out.message(1, named({member.key().data(), member.key().size()}, response_value));
  }
  return out;
}

ProtobufWriter operation(const json::Object& in) {
  ProtobufWriter out;
  out.text(3, text_of(in, "description"));
  out.text(5, text_of(in, "operationId"));
  write_strings(out, 6, in, "produces");
  write_strings(out, 7, in, "consumes");
  write_parameters(out, 8, in);
  if (const json::Object* answers = object_of(in, "responses")) out.message(9, responses(*answers));
  write_strings(out, 10, in, "schemes");
  write_extensions(out, 13, in);
  return out;
}

ProtobufWriter path_item(const json::Object& in) {
  struct Method {
    std::uint32_t field;
    std::string_view name;
  };
  constexpr Method kMethods[] = {{2, "get"},     {3, "put"},  {4, "post"}, {5, "delete"},
                                 {6, "options"}, {7, "head"}, {8, "patch"}};
  ProtobufWriter out;
  for (const Method& method : kMethods) {
    if (const json::Object* op = object_of(in, method.name)) {
      out.message(method.field, operation(*op));
    }
  }
  write_parameters(out, 9, in);
  write_extensions(out, 10, in);
  return out;
}

}  // namespace

std::string openapi_v2_protobuf(const json::Value& document) {
  ProtobufWriter out;
  const json::Object* in = document.if_object();
  if (!in) return {};
  out.text(1, text_of(*in, "swagger"));
  if (const json::Object* info = object_of(*in, "info")) {
    ProtobufWriter message;
    message.text(1, text_of(*info, "title"));
    message.text(2, text_of(*info, "version"));
    out.message(2, message);
  }
  if (const json::Object* paths = object_of(*in, "paths")) {
    ProtobufWriter message;
    for (const auto& member : *paths) {
      const json::Object* value = member.value().if_object();
      if (!value) continue;
      message.message(2, named({member.key().data(), member.key().size()}, path_item(*value)));
    }
    out.message(8, message);
  }
  if (const json::Object* definitions = object_of(*in, "definitions")) {
    out.message(9, named_schemas(*definitions));
  }
  return out.bytes();
}

}  // namespace apiserver
