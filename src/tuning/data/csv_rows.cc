#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/encoding.h"
#include "tuning/data/limits.h"
#include "tuning/data/row_reader.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

struct Field {
  std::string text;
  bool quoted = false;
};

class CsvRows final : public RowReader {
 public:
  explicit CsvRows(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.starts_with(kByteOrderMark)) position_ = kByteOrderMark.size();
  }

  base::Status read_names() {
    skip_empty_lines();
    for (Field& field : TRY(base::with_context(take_record(), "line 1, the column names"))) {
      if (field.text.empty())
        return Error(ErrorCode::Invalid, fmt::format("column {} has no name", names_.size() + 1));
      if (std::find(names_.begin(), names_.end(), field.text) != names_.end())
        return Error(ErrorCode::Invalid, fmt::format("two columns are named {}", field.text));
      names_.push_back(std::move(field.text));
    }
    return {};
  }

  Result<std::optional<Row>> next() override {
    skip_empty_lines();
    if (position_ == text_.size()) return std::optional<Row>();
    Row row{.number = ++rows_, .line = line_, .cells = {}};
    auto fields = take_record();
    if (!fields) return std::move(fields).error().context(row.where());
    if (fields->size() > names_.size()) {
      return Error(ErrorCode::Invalid, fmt::format("{}: {} fields for {} columns; put fields that "
                                                   "contain commas in quotes",
                                                   row.where(), fields->size(), names_.size()));
    }
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const Field* field = i < fields->size() ? &(*fields)[i] : nullptr;
      const bool null = field == nullptr || (field->text.empty() && !field->quoted);
      if (!null && !base::is_utf8(field->text)) {
        return Error(ErrorCode::Invalid,
                     fmt::format("{}, column {}: not UTF-8", row.where(), names_[i]));
      }
      row.cells.emplace(names_[i],
                        null ? json::Value(nullptr) : json::Value(json::String(field->text)));
    }
    return std::optional<Row>(std::move(row));
  }

 private:
  void skip_empty_lines() {
    for (; position_ < text_.size(); ++position_) {
      if (text_[position_] == '\n') {
        ++line_;
      } else if (text_[position_] != '\r') {
        return;
      }
    }
  }

  Result<std::vector<Field>> take_record() {
    std::vector<Field> fields;
    const std::size_t begin = position_;
    for (;;) {
      fields.push_back(TRY(take_field(begin)));
      if (fields.size() > kMaxColumns)
        return Error(ErrorCode::Invalid, fmt::format("more than {} columns", kMaxColumns));
      if (position_ == text_.size()) return fields;
      const char separator = text_[position_++];
      if (separator == ',') continue;
      if (separator == '\r' && position_ < text_.size() && text_[position_] == '\n') ++position_;
      ++line_;
      return fields;
    }
  }

  /// Up to the comma or line end, where it stops.
  Result<Field> take_field(std::size_t begin) {
    Field field;
    if (position_ < text_.size() && text_[position_] == '"') TRY(take_quoted(field, begin));
    const std::size_t end = std::min(text_.find_first_of(",\r\n", position_), text_.size());
    if (end - begin > kMaxRowBytes)
      return Error(ErrorCode::Invalid, fmt::format("longer than {} MiB", kMaxRowBytes >> 20));
    if (field.quoted && end != position_)
      return Error(ErrorCode::Invalid, "text after a closing quote; double the quotes inside");
    field.text.append(text_.substr(position_, end - position_));
    position_ = end;
    return field;
  }

  base::Status take_quoted(Field& field, std::size_t begin) {
    field.quoted = true;
    for (++position_; position_ < text_.size(); ++position_) {
      if (position_ - begin > kMaxRowBytes) break;
      const char c = text_[position_];
      if (c == '"') {
        ++position_;
        if (position_ == text_.size() || text_[position_] != '"') return {};
      }
      if (c == '\n') ++line_;
      field.text.push_back(c);
    }
    return Error(ErrorCode::Invalid, "a quote is not closed");
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
  std::size_t rows_ = 0;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::unique_ptr<RowReader>> read_csv_rows(std::string_view text) {
  auto rows = std::make_unique<CsvRows>(text);
  TRY(rows->read_names());
  return std::unique_ptr<RowReader>(std::move(rows));
}

}  // namespace tuning
