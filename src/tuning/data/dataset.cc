#include "tuning/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>

#include "tuning/data/limits.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

/// Rows between two looks at the context.
constexpr std::size_t kRowsPerCheck = 1024;

base::Status check_limits(const Dataset& dataset) {
  if (dataset.records.size() > kMaxRows)
    return Error(ErrorCode::Invalid, fmt::format("the data set has more than {} rows", kMaxRows));
  if (dataset.text_bytes > kMaxTextBytes) {
    return Error(ErrorCode::Invalid,
                 fmt::format("the data set has more than {} GiB of text", kMaxTextBytes >> 30));
  }
  return {};
}

}  // namespace

Result<Dataset> load_dataset(const base::Context& ctx, const FoundData& found,
                             const DatasetSettings& settings, const std::string& text_column,
                             const DataFile::Options& options) {
  Dataset dataset;
  bool chosen = false;
  for (const auto& path : found.files) {
    DataFile file = TRY(DataFile::open(path, found.format, options));
    for (;;) {
      const std::optional<Row> row = TRY(file.next());
      if (!row) break;
      if (!chosen) {
        dataset.columns =
            TRY(base::with_context(choose_columns(*row, settings, text_column), path.string()));
        chosen = true;
      }
      dataset.records.push_back(
          TRY(base::with_context(to_record(*row, dataset.columns), path.string())));
      dataset.text_bytes += dataset.records.back().bytes();
      TRY(check_limits(dataset));
      if (dataset.records.size() % kRowsPerCheck == 0) TRY(ctx.check());
    }
  }
  if (dataset.records.empty()) {
    return Error(ErrorCode::Invalid, fmt::format("{} holds no row", found.files.front().string()));
  }
  return dataset;
}

std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0UZ);
  // std::shuffle and the distributions differ between libraries; this does not.
  std::mt19937_64 random(seed);
  for (std::size_t left = count; left > 1; --left) {
    const std::uint64_t limit = random.max() - random.max() % left;
    std::uint64_t drawn = random();
    while (drawn >= limit) drawn = random();
    std::swap(order[left - 1], order[drawn % left]);
  }
  return order;
}

Split split_rows(std::size_t count, const SplitOptions& options) {
  Split split;
  const std::vector<std::size_t> order = shuffled(count, options.seed);
  std::size_t held = 0;
  if (options.train_share < 1 && count > 1) {
    held = static_cast<std::size_t>(
        std::ceil(static_cast<double>(count) * (1 - options.train_share) - 1e-9));
    held = std::clamp<std::size_t>(held, 1, count - 1);
  }
  const auto cut = order.begin() + static_cast<std::ptrdiff_t>(held);
  split.evaluation.assign(order.begin(), cut);
  split.train.assign(cut, order.end());
  std::sort(split.evaluation.begin(), split.evaluation.end());
  if (!options.shuffle) std::sort(split.train.begin(), split.train.end());
  return split;
}

}  // namespace tuning
