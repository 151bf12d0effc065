#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/value.h"

namespace tuning {

/// One row of a data set: its cells by column name.
struct Row {
  std::size_t number = 0;  ///< Counted from 1.
  std::size_t line = 0;    ///< Where it begins in a text file; 0 in others.
  json::Object cells;

  /// `row 3 (line 17)`
  std::string where() const;
};

/// Reads a data file row by row. One thread at a time.
class RowReader {
 public:
  virtual ~RowReader() = default;
  /// The next row; nothing at the end. Errors: Invalid, naming the row (not the file).
  virtual base::Result<std::optional<Row>> next() = 0;
};

enum class DataFormat { Csv, Json, Parquet };
/// `csv`
std::string_view name_of(DataFormat format);

/// JSON lines, documents one after the other, or one array of objects: the first character decides.
/// `text` must outlive the reader.
std::unique_ptr<RowReader> read_json_rows(std::string_view text);

/// RFC 4180 with a line of column names; fields may span lines. Every cell is text, an empty one
/// without quotes is null. `text` must outlive the reader. Errors: Invalid for the first line.
base::Result<std::unique_ptr<RowReader>> read_csv_rows(std::string_view text);

/// Through DuckDB's C library, which is loaded now. Errors: NotFound without the library, saying
/// how to get it; Invalid when the file is not parquet or damaged.
base::Result<std::unique_ptr<RowReader>> read_parquet_rows(const std::filesystem::path& file,
                                                           const std::filesystem::path& duckdb);

/// A data file of any format, open for reading; keeps what its reader needs.
class DataFile {
 public:
  struct Options {
    std::filesystem::path duckdb_library;  ///< Empty: `libduckdb.so` where the system looks.
  };
  /// Errors: NotFound, Forbidden, Invalid (empty, HTML instead of data, damaged); names the file.
  static base::Result<DataFile> open(const std::filesystem::path& path, DataFormat format,
                                     const Options& options);
  ~DataFile();
  DataFile(DataFile&&) noexcept;
  DataFile& operator=(DataFile&&) noexcept;

  /// As RowReader::next, the errors with the file's name.
  base::Result<std::optional<Row>> next();

 private:
  struct State;
  explicit DataFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// True when `bytes` begin like a page for people instead of data.
bool looks_like_html(std::string_view bytes);

}  // namespace tuning
