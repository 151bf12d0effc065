#include <fmt/format.h>

#include <algorithm>

#include "tuning/data/limits.h"
#include "tuning/data/row_reader.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

constexpr std::size_t kMaxDepth = 32;

class JsonRows final : public RowReader {
 public:
  explicit JsonRows(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.starts_with(kByteOrderMark)) position_ = kByteOrderMark.size();
    skip_space();
    in_array_ = position_ < text_.size() && text_[position_] == '[';
    if (in_array_) ++position_;
  }

  Result<std::optional<Row>> next() override {
    if (!TRY(find_next())) return std::optional<Row>();
    Row row{.number = ++rows_, .line = line_, .cells = {}};
    const std::string_view slice = TRY(take_object(row));
    auto value = json::parse(slice, {.max_depth = kMaxDepth, .max_bytes = kMaxRowBytes});
    if (!value) return fail(row, value.error().message());
    row.cells = std::move(value->as_object());
    return std::optional<Row>(std::move(row));
  }

 private:
  static Error fail(const Row& row, std::string_view what) {
    return Error(ErrorCode::Invalid, fmt::format("{}: {}", row.where(), what));
  }

  void skip_space() {
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (c == '\n') ++line_;
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    }
  }

  /// Moves to the next object; false at the end.
  Result<bool> find_next() {
    skip_space();
    if (in_array_) {
      if (position_ == text_.size()) {
        return Error(ErrorCode::Invalid,
                     fmt::format("the array ends after row {} without ]: the file is cut", rows_));
      }
      if (text_[position_] == ']') {
        ++position_;
        skip_space();
        if (position_ == text_.size()) return false;
        return Error(ErrorCode::Invalid, fmt::format("line {}: text after the array", line_));
      }
      if (rows_ > 0 && text_[position_] == ',') {
        ++position_;
        skip_space();
      } else if (rows_ > 0) {
        return Error(ErrorCode::Invalid, fmt::format("line {}: expected , or ]", line_));
      }
    }
    return position_ < text_.size();
  }

  /// The text of the object that begins here; it is not checked yet.
  Result<std::string_view> take_object(const Row& row) {
    if (text_[position_] != '{')
      return fail(row, "expected an object of columns, as in {\"text\": \"...\"}");
    const std::size_t begin = position_;
    std::size_t depth = 0;
    bool in_text = false;
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (position_ - begin >= kMaxRowBytes)
        return fail(row, fmt::format("longer than {} MiB, or not closed", kMaxRowBytes >> 20));
      if (c == '\n') {
        if (in_text) return fail(row, "a text is not closed on its line");
        ++line_;
      } else if (in_text) {
        if (c == '\\') ++position_;
        in_text = c != '"';
      } else if (c == '"') {
        in_text = true;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if ((c == '}' || c == ']') && --depth == 0) {
        ++position_;
        return text_.substr(begin, position_ - begin);
      }
    }
    position_ = text_.size();
    return fail(row, "the object is not closed: the file is cut or a } is missing");
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
  std::size_t rows_ = 0;
  bool in_array_ = false;
};

}  // namespace

std::unique_ptr<RowReader> read_json_rows(std::string_view text) {
  return std::make_unique<JsonRows>(text);
}

}  // namespace tuning
