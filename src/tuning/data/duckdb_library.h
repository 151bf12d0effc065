#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace tuning {

/// The part of DuckDB's C interface (duckdb.h 1.4) that reading needs, as pointers into a library
/// that is loaded at run time: most tuners never see a parquet file, and it has 65 MB.
struct DuckDb {
  using Index = std::uint64_t;
  enum State : int { Success = 0, Failure = 1 };
  // Opaque handles; each has a type of its own so that they cannot be swapped.
  using Database = struct DatabaseTag*;
  using Connection = struct ConnectionTag*;
  using Config = struct ConfigTag*;
  using Statement = struct StatementTag*;
  using Chunk = struct ChunkTag*;
  using Vector = struct VectorTag*;
  struct QueryResult {
    Index deprecated_column_count;
    Index deprecated_row_count;
    Index deprecated_rows_changed;
    void* deprecated_columns;
    char* deprecated_error_message;
    void* internal_data;
  };
  /// Where a text of more than 12 bytes is.
  struct Outside {
    char prefix[4];
    char pointer[8];
  };
  /// Up to 12 bytes are inside, longer ones are pointed to.
  struct String {
    std::uint32_t length;
    union {
      char inlined[12];
      Outside outside;
    };
  };
  static_assert(sizeof(String) == 16);

  const char* (*library_version)();
  State (*create_config)(Config*);
  State (*set_config)(Config, const char*, const char*);
  void (*destroy_config)(Config*);
  State (*open_ext)(const char*, Database*, Config, char**);
  void (*close)(Database*);
  State (*connect)(Database, Connection*);
  void (*disconnect)(Connection*);
  State (*prepare)(Connection, const char*, Statement*);
  const char* (*prepare_error)(Statement);
  void (*destroy_prepare)(Statement*);
  State (*bind_varchar)(Statement, Index, const char*);
  State (*execute_prepared_streaming)(Statement, QueryResult*);
  const char* (*result_error)(QueryResult*);
  void (*destroy_result)(QueryResult*);
  Chunk (*fetch_chunk)(QueryResult);
  void (*destroy_data_chunk)(Chunk*);
  Index (*data_chunk_get_size)(Chunk);
  Vector (*data_chunk_get_vector)(Chunk, Index);
  void* (*vector_get_data)(Vector);
  void (*free)(void*);

  /// Loads the library; it stays loaded. Errors: NotFound, saying where it was looked for and how
  /// to get it; Invalid for a library of another kind or version.
  static base::Result<std::shared_ptr<const DuckDb>> load(const std::filesystem::path& library);
};

}  // namespace tuning
