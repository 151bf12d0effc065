#include "tuning/data/duckdb_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;

/// The version whose header the declarations follow.
constexpr std::string_view kVersion = "v1.4.";

template <class Function>
bool find(void* library, const char* name, Function& out) {
  void* const symbol = ::dlsym(library, name);
  out = reinterpret_cast<Function>(symbol);
  return symbol != nullptr;
}

/// The name of the first function that `library` lacks; "" when it has all.
std::string_view bind_all(void* library, DuckDb& out) {
  std::string_view missing;
  const auto bind = [&](const char* name, auto& pointer) {
    if (!find(library, name, pointer) && missing.empty()) missing = name;
  };
  bind("duckdb_library_version", out.library_version);
  bind("duckdb_create_config", out.create_config);
  bind("duckdb_set_config", out.set_config);
  bind("duckdb_destroy_config", out.destroy_config);
  bind("duckdb_open_ext", out.open_ext);
  bind("duckdb_close", out.close);
  bind("duckdb_connect", out.connect);
  bind("duckdb_disconnect", out.disconnect);
  bind("duckdb_prepare", out.prepare);
  bind("duckdb_prepare_error", out.prepare_error);
  bind("duckdb_destroy_prepare", out.destroy_prepare);
  bind("duckdb_bind_varchar", out.bind_varchar);
  bind("duckdb_execute_prepared_streaming", out.execute_prepared_streaming);
  bind("duckdb_result_error", out.result_error);
  bind("duckdb_destroy_result", out.destroy_result);
  bind("duckdb_fetch_chunk", out.fetch_chunk);
  bind("duckdb_destroy_data_chunk", out.destroy_data_chunk);
  bind("duckdb_data_chunk_get_size", out.data_chunk_get_size);
  bind("duckdb_data_chunk_get_vector", out.data_chunk_get_vector);
  bind("duckdb_vector_get_data", out.vector_get_data);
  bind("duckdb_free", out.free);
  return missing;
}

}  // namespace

base::Result<std::shared_ptr<const DuckDb>> DuckDb::load(const std::filesystem::path& library) {
  const std::string name = library.empty() ? "libduckdb.so" : library.string();
  // Never closed: DuckDB keeps threads and thread-local data.
  void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const reason = ::dlerror();
    return Error(ErrorCode::NotFound,
                 fmt::format("parquet files are read with DuckDB's library, which cannot be loaded "
                             "({}): fetch it with third_party/duckdb/fetch and name it with "
                             "--duckdb-library, or convert the file to jsonl",
                             reason == nullptr ? name : reason));
  }
  auto found = std::make_shared<DuckDb>();
  if (const std::string_view missing = bind_all(handle, *found); !missing.empty())
    return Error(ErrorCode::Invalid, fmt::format("{} has no function {}", name, missing));
  const std::string_view version = found->library_version();
  if (!version.starts_with(kVersion)) {
    return Error(ErrorCode::Invalid, fmt::format("{} is DuckDB {}; this program reads with {}x",
                                                 name, version, kVersion));
  }
  return std::shared_ptr<const DuckDb>(std::move(found));
}

}  // namespace tuning
