// Rows of csv and json files and what they become: first byte chooses the format.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "tuning/data/record.h"
#include "tuning/data/row_reader.h"

namespace {

/// Rows of one input, at most; beyond, nothing new is reached.
constexpr int kMaxRows = 1000;

void drain(tuning::RowReader& reader) {
  const tuning::DatasetSettings settings;
  for (int i = 0; i < kMaxRows; ++i) {
    const auto row = reader.next();
    if (!row || !*row) return;
    const auto columns = tuning::choose_columns(**row, settings, "text");
    if (columns) (void)tuning::to_record(**row, *columns);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)tuning::looks_like_html(text);
  if (data[0] == 'c') {
    if (const auto rows = tuning::read_csv_rows(text)) drain(**rows);
  } else {
    drain(*tuning::read_json_rows(text));
  }
  return 0;
}
