#include "apiserver/store/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace apiserver {
namespace {

/// Pages of WAL before a checkpoint moves them into the database (4 KiB each).
constexpr int kCheckpointPages = 4000;

base::Error sql_error(sqlite3* handle, std::string_view what) {
  const int code = handle ? sqlite3_errcode(handle) & 0xff : SQLITE_NOMEM;
  const char* text = handle ? sqlite3_errmsg(handle) : "out of memory";
  const auto kind = code == SQLITE_FULL                            ? base::ErrorCode::Unavailable
                    : code == SQLITE_BUSY || code == SQLITE_LOCKED ? base::ErrorCode::AlreadyExists
                                                                   : base::ErrorCode::Internal;
  if (kind == base::ErrorCode::AlreadyExists)
    return base::Error(kind, fmt::format("{}: the database is in use by another process", what));
  return base::Error(kind, fmt::format("{}: {}", what, text));
}

}  // namespace

SqlStatement::~SqlStatement() { sqlite3_finalize(statement_); }

SqlStatement& SqlStatement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_, index, text.data() ? text.data() : "", text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
  return *this;
}

SqlStatement& SqlStatement::bind(int index, std::int64_t number) {
  sqlite3_bind_int64(statement_, index, number);
  return *this;
}

base::Result<bool> SqlStatement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return sql_error(sqlite3_db_handle(statement_), "store");
}

base::Status SqlStatement::run() {
  auto more = step();
  while (more && *more) more = step();
  reset();
  if (!more) return std::move(more).error();
  return {};
}

void SqlStatement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::string_view SqlStatement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes ? std::string_view(bytes, static_cast<std::size_t>(size)) : std::string_view();
}

std::int64_t SqlStatement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

base::Result<std::unique_ptr<SqlDatabase>> SqlDatabase::open(const std::filesystem::path& path) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  std::unique_ptr<SqlDatabase> database(new SqlDatabase(handle));
  const std::string what = fmt::format("opening {}", path.string());
  if (code != SQLITE_OK) return sql_error(handle, what);
  sqlite3_extended_result_codes(handle, 1);
  const std::string pragmas = fmt::format(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
      "PRAGMA wal_autocheckpoint={}; PRAGMA cache_size=-4096; BEGIN EXCLUSIVE; COMMIT;",
      kCheckpointPages);
  TRY(base::with_context(database->execute(pragmas.c_str()), what));
  return database;
}

SqlDatabase::~SqlDatabase() { sqlite3_close_v2(handle_); }

base::Status SqlDatabase::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return sql_error(handle_, "store");
  return {};
}

base::Result<SqlStatement> SqlDatabase::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
    return sql_error(handle_, "store");
  return SqlStatement(statement);
}

}  // namespace apiserver
