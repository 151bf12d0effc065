#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "model/mapped_file.h"
#include "tuning/data/row_reader.h"

namespace tuning {
using base::Error;
using base::ErrorCode;
using base::Result;

std::string Row::where() const {
  return line == 0 ? fmt::format("row {}", number) : fmt::format("row {} (line {})", number, line);
}

std::string_view name_of(DataFormat format) {
  switch (format) {
    case DataFormat::Csv:
      return "csv";
    case DataFormat::Json:
      return "json";
    case DataFormat::Parquet:
      return "parquet";
  }
  return "unknown";
}

bool looks_like_html(std::string_view bytes) {
  const auto start = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (start == std::string_view::npos) return false;
  std::string head(bytes.substr(start, 16));
  std::transform(head.begin(), head.end(), head.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return head.starts_with("<!doctype html") || head.starts_with("<html") ||
         head.starts_with("<head") || head.starts_with("<body");
}

struct DataFile::State {
  std::string name;
  std::optional<model::MappedFile> mapped;
  std::unique_ptr<RowReader> rows;
};

DataFile::DataFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataFile::~DataFile() = default;
DataFile::DataFile(DataFile&&) noexcept = default;
DataFile& DataFile::operator=(DataFile&&) noexcept = default;

Result<DataFile> DataFile::open(const std::filesystem::path& path, DataFormat format,
                                const Options& options) {
  auto state = std::make_unique<State>();
  state->name = path.string();
  const auto open_rows = [&]() -> Result<std::unique_ptr<RowReader>> {
    state->mapped = TRY(model::MappedFile::open(path));
    const std::string_view text = state->mapped->text();
    if (text.empty()) return Error(ErrorCode::Invalid, "the file is empty");
    if (looks_like_html(text))
      return Error(ErrorCode::Invalid, "this is an HTML page, not data; fetch the file itself");
    if (text.starts_with("\x1F\x8B"))
      return Error(ErrorCode::Invalid, "the file is compressed with gzip; unpack it first");
    if (format == DataFormat::Parquet) return read_parquet_rows(path, options.duckdb_library);
    if (text.starts_with("PAR1"))
      return Error(ErrorCode::Invalid, "this is a parquet file; set dataset_extension to parquet");
    if (format == DataFormat::Csv) return read_csv_rows(text);
    return read_json_rows(text);
  };
  auto rows = open_rows();
  if (!rows) return std::move(rows).error().context(state->name);
  state->rows = *std::move(rows);
  return DataFile(std::move(state));
}

Result<std::optional<Row>> DataFile::next() {
  auto row = state_->rows->next();
  if (!row) return std::move(row).error().context(state_->name);
  return row;
}

}  // namespace tuning
