#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "tuning/data/duckdb_library.h"
#include "tuning/data/limits.h"
#include "tuning/data/row_reader.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

constexpr std::size_t kMaxDepth = 32;
/// Rows come as JSON text: nested lists and structs of any shape through one column.
constexpr const char* kQuery = "SELECT CAST(to_json(t) AS VARCHAR) FROM read_parquet(?) t";
/// DuckDB must not look for extensions on the network or fill the disk; one thread keeps the order.
constexpr std::array<std::array<const char*, 2>, 5> kSettings = {{
    {"autoinstall_known_extensions", "false"},
    {"autoload_known_extensions", "false"},
    {"threads", "1"},
    {"memory_limit", "2GB"},
    {"temp_directory", ""},
}};

/// DuckDB's messages have several lines; the first says what is wrong.
std::string first_line(const char* text) {
  const std::string_view all = text == nullptr ? "unknown reason" : text;
  return std::string(all.substr(0, all.find('\n')));
}

/// A parquet file begins and ends with PAR1.
base::Status check_magic(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::array<char, 4> head{};
  std::array<char, 4> tail{};
  in.read(head.data(), head.size());
  in.seekg(-4, std::ios::end);
  in.read(tail.data(), tail.size());
  const auto is_magic = [](const auto& bytes) { return std::memcmp(bytes.data(), "PAR1", 4) == 0; };
  if (!in || !is_magic(head))
    return Error(ErrorCode::Invalid, "not a parquet file: it does not begin with PAR1");
  if (!is_magic(tail))
    return Error(ErrorCode::Invalid, "the parquet file is cut: it does not end with PAR1");
  return {};
}

class ParquetRows final : public RowReader {
 public:
  explicit ParquetRows(std::shared_ptr<const DuckDb> duckdb) : duckdb_(std::move(duckdb)) {}
  ~ParquetRows() override {
    if (chunk_ != nullptr) duckdb_->destroy_data_chunk(&chunk_);
    if (has_result_) duckdb_->destroy_result(&result_);
    if (statement_ != nullptr) duckdb_->destroy_prepare(&statement_);
    if (connection_ != nullptr) duckdb_->disconnect(&connection_);
    if (database_ != nullptr) duckdb_->close(&database_);
  }

  base::Status open(const std::filesystem::path& file) {
    TRY(open_database());
    if (duckdb_->prepare(connection_, kQuery, &statement_) != DuckDb::Success)
      return Error(ErrorCode::Internal, first_line(duckdb_->prepare_error(statement_)));
    if (duckdb_->bind_varchar(statement_, 1, escaped(file.string()).c_str()) != DuckDb::Success)
      return Error(ErrorCode::Internal, first_line(duckdb_->prepare_error(statement_)));
    const auto state = duckdb_->execute_prepared_streaming(statement_, &result_);
    has_result_ = true;
    if (state != DuckDb::Success)
      return Error(ErrorCode::Invalid, first_line(duckdb_->result_error(&result_)));
    return {};
  }

  Result<std::optional<Row>> next() override {
    while (in_chunk_ == chunk_rows_) {
      if (!TRY(fetch())) return std::optional<Row>();
    }
    Row row{.number = ++rows_, .line = 0, .cells = {}};
    const std::string_view text = text_at(in_chunk_++);
    auto value = json::parse(text, {.max_depth = kMaxDepth, .max_bytes = kMaxRowBytes});
    if (!value) return std::move(value).error().context(row.where());
    row.cells = std::move(value->as_object());
    return std::optional<Row>(std::move(row));
  }

 private:
  /// read_parquet takes patterns; a file's name is meant as it stands.
  static std::string escaped(std::string_view path) {
    std::string out;
    for (const char c : path) {
      if (c == '*' || c == '?' || c == '[') {
        out += {'[', c, ']'};
      } else {
        out += c;
      }
    }
    return out;
  }

  base::Status open_database() {
    DuckDb::Config config = nullptr;
    if (duckdb_->create_config(&config) != DuckDb::Success)
      return Error(ErrorCode::Internal, "DuckDB makes no configuration");
    bool set = true;
    for (const auto& [name, value] : kSettings)
      set = duckdb_->set_config(config, name, value) == DuckDb::Success && set;
    char* message = nullptr;
    const auto opened = duckdb_->open_ext(nullptr, &database_, config, &message);
    duckdb_->destroy_config(&config);
    if (!set || opened != DuckDb::Success) {
      std::string reason = first_line(message);
      duckdb_->free(message);
      return Error(ErrorCode::Internal, fmt::format("DuckDB does not start: {}", reason));
    }
    if (duckdb_->connect(database_, &connection_) != DuckDb::Success)
      return Error(ErrorCode::Internal, "DuckDB makes no connection");
    return {};
  }

  Result<bool> fetch() {
    if (chunk_ != nullptr) duckdb_->destroy_data_chunk(&chunk_);
    in_chunk_ = chunk_rows_ = 0;
    chunk_ = duckdb_->fetch_chunk(result_);
    if (chunk_ == nullptr) {
      const char* const reason = duckdb_->result_error(&result_);
      if (reason == nullptr || *reason == '\0') return false;
      return Error(ErrorCode::Invalid, fmt::format("after row {}: {}", rows_, first_line(reason)));
    }
    chunk_rows_ = duckdb_->data_chunk_get_size(chunk_);
    return chunk_rows_ > 0;
  }

  std::string_view text_at(DuckDb::Index index) {
    const auto* texts = static_cast<const DuckDb::String*>(
        duckdb_->vector_get_data(duckdb_->data_chunk_get_vector(chunk_, 0)));
    const DuckDb::String& text = texts[index];
    if (text.length <= sizeof text.inlined) return {text.inlined, text.length};
    const char* outside = nullptr;
    std::memcpy(&outside, text.outside.pointer, sizeof outside);
    return {outside, text.length};
  }

  std::shared_ptr<const DuckDb> duckdb_;
  DuckDb::Database database_ = nullptr;
  DuckDb::Connection connection_ = nullptr;
  DuckDb::Statement statement_ = nullptr;
  DuckDb::QueryResult result_{};
  bool has_result_ = false;
  DuckDb::Chunk chunk_ = nullptr;
  DuckDb::Index in_chunk_ = 0;
  DuckDb::Index chunk_rows_ = 0;
  std::size_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<RowReader>> read_parquet_rows(const std::filesystem::path& file,
                                                     const std::filesystem::path& duckdb) {
  TRY(check_magic(file));
  auto rows = std::make_unique<ParquetRows>(TRY(DuckDb::load(duckdb)));
  TRY(rows->open(file));
  return std::unique_ptr<RowReader>(std::move(rows));
}

}  // namespace tuning
