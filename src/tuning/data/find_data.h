#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuning/config/training_config.h"
#include "tuning/data/row_reader.h"

namespace tuning {

struct FoundData {
  std::vector<std::filesystem::path> files;  ///< In the order of their names, all of one format.
  DataFormat format = DataFormat::Json;
};

/// The data files that `settings` mean below `folder`: the one at `dataset_path`, else every file
/// whose name says a format. Where there are several formats the first file's decides.
/// Hidden files are passed over. Errors: NotFound, naming what lies there; Invalid for a format
/// that cannot be read; Forbidden.
base::Result<FoundData> find_data(const std::filesystem::path& folder,
                                  const DatasetSettings& settings);

}  // namespace tuning
