#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace apiserver {

/// One prepared statement; used by one thread at a time. Parameters and columns count from 1 and
/// from 0, as in SQLite.
class SqlStatement {
 public:
  explicit SqlStatement(sqlite3_stmt* statement) : statement_(statement) {}
  ~SqlStatement();
  SqlStatement(SqlStatement&& other) noexcept : statement_(other.statement_) {
    other.statement_ = nullptr;
  }
  SqlStatement& operator=(SqlStatement&&) = delete;

  /// `text` must live until the next `reset`.
  SqlStatement& bind(int index, std::string_view text);
  SqlStatement& bind(int index, std::int64_t number);
  /// True when there is a row. Errors: see SqlDatabase.
  base::Result<bool> step();
  /// Runs to the end and resets.
  base::Status run();
  void reset();
  std::string_view text(int column) const;
  std::int64_t integer(int column) const;

 private:
  sqlite3_stmt* statement_;
};

/// A SQLite database in WAL mode that this process alone may use. Commits survive the death of the
/// process at any moment; a power cut may lose the last ones but never their order.
/// Errors: Internal with SQLite's text; Unavailable when the disk is full.
class SqlDatabase {
 public:
  /// Errors: AlreadyExists when another process holds the database.
  static base::Result<std::unique_ptr<SqlDatabase>> open(const std::filesystem::path& path);
  ~SqlDatabase();
  SqlDatabase(const SqlDatabase&) = delete;
  SqlDatabase& operator=(const SqlDatabase&) = delete;

  base::Status execute(const char* sql);
  base::Result<SqlStatement> prepare(std::string_view sql);

 private:
  explicit SqlDatabase(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_;
};

}  // namespace apiserver
