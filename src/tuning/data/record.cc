#include "tuning/data/record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>

#include "tuning/data/limits.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

/// Other names under which conversations are published.
constexpr std::array<std::string_view, 2> kMessageColumns = {"messages", "conversations"};

Error bad_cell(const Row& row, std::string_view column, std::string_view what) {
  return Error(ErrorCode::Invalid, fmt::format("{}, column {}: {}", row.where(), column, what));
}

const json::Value* cell(const Row& row, std::string_view column) {
  const json::Value* value = row.cells.if_contains(column);
  return value == nullptr || value->is_null() ? nullptr : value;
}

/// A text, or the text parts of a list like `[{"type": "text", "text": "..."}]`.
Result<std::string> to_text(const Row& row, const std::string& column, const json::Value* value) {
  if (value == nullptr) return bad_cell(row, column, "missing or null");
  if (const json::String* text = value->if_string()) return json::to_string(*text);
  const json::Array* parts = value->if_array();
  if (parts == nullptr)
    return bad_cell(row, column, fmt::format("expected text, found {}", json::kind_name(*value)));
  std::string joined;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    const json::Value& part = (*parts)[i];
    const std::string_view type = json::find_string(part, "type");
    const json::Value* text = json::find(part, "text");
    if ((type != "text" && !type.empty()) || text == nullptr || !text->is_string()) {
      return bad_cell(row, fmt::format("{}[{}]", column, i),
                      fmt::format("expected a part of type text, found {}",
                                  type.empty() ? json::kind_name(part) : type));
    }
    joined += json::view(text->get_string());
  }
  return joined;
}

/// `from`/`value` is how ShareGPT names them.
std::string standard_role(std::string role) {
  if (role == "human") return "user";
  if (role == "gpt" || role == "bot") return "assistant";
  return role;
}

Result<model::ChatMessage> to_message(const Row& row, const std::string& column,
                                      const json::Value& value) {
  const json::Object* object = value.if_object();
  if (object == nullptr) {
    return bad_cell(
        row, column,
        fmt::format("expected an object with role and content, found {}", json::kind_name(value)));
  }
  const bool other_names = !object->contains("role") && object->contains("from");
  const char* const role_name = other_names ? "from" : "role";
  const char* const content_name = other_names ? "value" : "content";
  model::ChatMessage message;
  message.role = standard_role(
      TRY(to_text(row, fmt::format("{}.{}", column, role_name), object->if_contains(role_name))));
  if (message.role.empty())
    return bad_cell(row, fmt::format("{}.{}", column, role_name), "the role is empty");
  const json::Value* content = object->if_contains(content_name);
  if (content != nullptr && content->is_null()) content = nullptr;
  message.content = TRY(to_text(row, fmt::format("{}.{}", column, content_name), content));
  return message;
}

Result<std::vector<model::ChatMessage>> to_messages(const Row& row, const std::string& column,
                                                    const json::Value* value) {
  if (value == nullptr) return bad_cell(row, column, "missing or null");
  json::Value parsed;
  if (const json::String* text = value->if_string()) {
    // CSV cells hold the list as text.
    auto list = json::parse(json::view(*text), {.max_depth = 16, .max_bytes = kMaxRowBytes});
    if (!list) return bad_cell(row, column, list.error().message());
    parsed = *std::move(list);
    value = &parsed;
  }
  const json::Array* list = value->if_array();
  if (list == nullptr || list->empty()) {
    return bad_cell(row, column,
                    list != nullptr ? "no message"
                                    : fmt::format("expected a list of messages, found {}",
                                                  json::kind_name(*value)));
  }
  if (list->size() > kMaxMessages)
    return bad_cell(row, column, fmt::format("more than {} messages", kMaxMessages));
  std::vector<model::ChatMessage> messages;
  for (std::size_t i = 0; i < list->size(); ++i)
    messages.push_back(TRY(to_message(row, fmt::format("{}[{}]", column, i), (*list)[i])));
  return messages;
}

std::string names_of(const Row& row) {
  std::vector<std::string> names;
  for (const auto& member : row.cells) names.emplace_back(member.key().data(), member.key().size());
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<std::string> existing(const Row& row, std::string_view setting, const std::string& column) {
  if (row.cells.contains(column)) return column;
  return Error(ErrorCode::Invalid, fmt::format("{}: there is no column {}; there are {}", setting,
                                               column, names_of(row)));
}

}  // namespace

std::size_t Record::bytes() const {
  std::size_t sum = prompt.size() + completion.size() + text.size();
  for (const auto& message : messages) sum += message.role.size() + message.content.size();
  return sum;
}

Result<Columns> choose_columns(const Row& first_row, const DatasetSettings& dataset,
                               const std::string& text_column) {
  const auto has = [&](std::string_view name) { return first_row.cells.contains(name); };
  if (!dataset.messages_column.empty()) {
    return Columns{Record::Kind::Messages,
                   TRY(existing(first_row, "messages_column", dataset.messages_column)),
                   {}};
  }
  if (!dataset.context_column.empty()) {
    return Columns{Record::Kind::PromptCompletion,
                   TRY(existing(first_row, "context_column", dataset.context_column)),
                   TRY(existing(first_row, "response_column", dataset.response_column))};
  }
  for (const std::string_view name : kMessageColumns)
    if (has(name)) return Columns{Record::Kind::Messages, std::string(name), {}};
  if (has("prompt") && has("completion"))
    return Columns{Record::Kind::PromptCompletion, "prompt", "completion"};
  for (const std::string& name : {text_column, dataset.response_column})
    if (has(name)) return Columns{Record::Kind::Text, name, {}};
  return Error(ErrorCode::Invalid,
               fmt::format("none of the columns messages, prompt + completion, {} is there; there "
                           "are {}. Name one with DatasetConfig.messages_column, or context_column "
                           "and response_column, or response_column alone",
                           text_column, names_of(first_row)));
}

Result<Record> to_record(const Row& row, const Columns& columns) {
  Record record;
  record.kind = columns.kind;
  const json::Value* first = cell(row, columns.first);
  if (columns.kind == Record::Kind::Messages) {
    record.messages = TRY(to_messages(row, columns.first, first));
    return record;
  }
  if (columns.kind == Record::Kind::Text) {
    record.text = TRY(to_text(row, columns.first, first));
    if (record.text.empty()) return bad_cell(row, columns.first, "the text is empty");
    return record;
  }
  const json::Value* second = cell(row, columns.second);
  const auto is_conversation = [](const json::Value* value) {
    return value != nullptr && value->is_array() && !value->get_array().empty() &&
           value->get_array().front().is_object() &&
           value->get_array().front().get_object().contains("role");
  };
  if (is_conversation(first) && is_conversation(second)) {
    record.kind = Record::Kind::Messages;
    record.messages = TRY(to_messages(row, columns.first, first));
    record.prompt_messages = record.messages.size();
    for (auto& message : TRY(to_messages(row, columns.second, second)))
      record.messages.push_back(std::move(message));
    return record;
  }
  record.prompt = TRY(to_text(row, columns.first, first));
  record.completion = TRY(to_text(row, columns.second, second));
  if (record.completion.empty()) return bad_cell(row, columns.second, "the text is empty");
  return record;
}

}  // namespace tuning
