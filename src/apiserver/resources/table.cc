#include "apiserver/resources/table.h"

#include <fmt/format.h>

#include "apiserver/resources/json_path.h"

namespace apiserver {
namespace {

json::Value cell(const PrinterColumn& column, const json::Value& object, base::SystemTime now) {
  const auto path = JsonPath::parse(column.json_path);
  if (!path) return "<invalid>";
  const auto found = path->evaluate(object);
  if (found.empty()) return nullptr;
  const json::Value& first = *found.front();
  if (column.type == "date") {
    const json::String* text = first.if_string();
    return text ? json::Value(json::String(age_of(json::view(*text), now))) : json::Value(nullptr);
  }
  if (column.type != "string") return first.is_structured() ? json::Value(nullptr) : first;
  std::string text;
  for (const json::Value* value : found) {
    if (!text.empty()) text += ' ';
    if (const json::String* string = value->if_string()) {
      text += json::view(*string);
    } else if (!value->is_null()) {
      text += json::dump(*value);
    }
  }
  return json::String(text);
}

json::Object column_definition(const PrinterColumn& column) {
  return {{"name", json::String(column.name)},
          {"type", json::String(column.type == "date" ? "string" : column.type)},
          {"format", json::String(column.format)},
          {"description", json::String(column.description)},
          {"priority", column.priority}};
}

PrinterColumn name_column() {
  return {
      .name = "Name", .format = "name", .description = "Name must be unique within a namespace."};
}

PrinterColumn age_column() {
  return {.name = "Age",
          .type = "date",
          .description = "Time since the object was created.",
          .json_path = ".metadata.creationTimestamp"};
}

}  // namespace

std::string human_duration(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return fmt::format("{}s", seconds);
  const auto pair = [](auto big, char big_unit, auto small, char small_unit) {
    return small == 0 ? fmt::format("{}{}", big, big_unit)
                      : fmt::format("{}{}{}{}", big, big_unit, small, small_unit);
  };
  const auto minutes = seconds / 60;
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return fmt::format("{}m", minutes);
  const auto hours = minutes / 60;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return fmt::format("{}h", hours);
  const auto days = hours / 24;
  if (hours < 192) return pair(days, 'd', hours % 24, 'h');
  if (days < 730) return fmt::format("{}d", days);
  if (days < 2920) return pair(days / 365, 'y', days % 365, 'd');
  return fmt::format("{}y", days / 365);
}

std::string age_of(std::string_view timestamp, base::SystemTime now) {
  if (timestamp.empty()) return "<unknown>";
  const auto time = base::parse_rfc3339(timestamp);
  if (!time) return "<unknown>";
  return human_duration(std::chrono::floor<std::chrono::seconds>(now - *time));
}

json::Value partial_metadata(const json::Value& object) {
  json::Object partial{{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}};
  if (const json::Object* metadata = json::find_object(object, "metadata"))
    partial["metadata"] = *metadata;
  return partial;
}

json::Object make_table(const ResourceDefinition& resource, const VersionDefinition& version) {
  json::Array columns;
  if (resource.row) {
    for (const auto& column : version.columns) columns.emplace_back(column_definition(column));
  } else {
    columns.emplace_back(column_definition(name_column()));
    for (const auto& column : version.columns) columns.emplace_back(column_definition(column));
    if (version.columns.empty()) columns.emplace_back(column_definition(age_column()));
  }
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", json::Object{}},
          {"columnDefinitions", std::move(columns)},
          {"rows", json::Array{}}};
}

json::Value make_row(const ResourceDefinition& resource, const VersionDefinition& version,
                     const json::Value& object, TableInclude include, base::SystemTime now) {
  json::Object row;
  if (resource.row) {
    row["cells"] = resource.row(object, now);
  } else {
    json::Array cells{json::String(json::find_string(object, "metadata.name"))};
    for (const auto& column : version.columns) cells.push_back(cell(column, object, now));
    if (version.columns.empty()) cells.push_back(cell(age_column(), object, now));
    row["cells"] = std::move(cells);
  }
  if (include == TableInclude::Object) row["object"] = object;
  if (include == TableInclude::Metadata) row["object"] = partial_metadata(object);
  return row;
}

}  // namespace apiserver
