#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "tuning/config/training_config.h"
#include "tuning/data/find_data.h"
#include "tuning/data/record.h"

namespace tuning {

/// Rows in memory, in the order of their files.
struct Dataset {
  Columns columns;
  std::vector<Record> records;
  std::uint64_t text_bytes = 0;
};

/// Reads every row of `found`. Errors: as DataFile and to_record, with the file's name; Invalid for
/// no row at all and beyond the limits; Cancelled.
base::Result<Dataset> load_dataset(const base::Context& ctx, const FoundData& found,
                                   const DatasetSettings& settings, const std::string& text_column,
                                   const DataFile::Options& options);

/// Which rows are trained on and which only evaluated, as positions in Dataset::records.
struct Split {
  std::vector<std::size_t> train;
  std::vector<std::size_t> evaluation;
};
/// `train_share` of `count` rows, at least one, at random by `seed`; the order of the rest is kept
/// unless `shuffle`. Pure: equal arguments give equal results on every machine.
struct SplitOptions {
  double train_share = 1;
  std::uint64_t seed = 42;
  bool shuffle = true;
};
Split split_rows(std::size_t count, const SplitOptions& options);

/// The numbers 0 to count - 1 in an order that `seed` decides, the same on every machine.
std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed);

}  // namespace tuning
