#include "tuning/data/find_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "tuning/data/limits.h"

namespace tuning {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorCode;
using base::Result;

/// Files named in an error, at most.
constexpr std::size_t kNamedFiles = 8;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

Result<DataFormat> format_of(std::string_view word) {
  if (word == "csv") return DataFormat::Csv;
  if (word == "json" || word == "jsonl" || word == "ndjson") return DataFormat::Json;
  if (word == "parquet") return DataFormat::Parquet;
  return Error(ErrorCode::Invalid,
               fmt::format("{} data cannot be read; use csv, json, jsonl or parquet", word));
}

/// What a file's name says: its ending, else a word in it (upstream looks for words only).
std::string word_in(const fs::path& file) {
  const std::string name = lower(file.filename().string());
  std::string ending = lower(file.extension().string());
  if (!ending.empty()) ending.erase(0, 1);
  for (const std::string_view word : {"csv", "json", "jsonl", "ndjson", "parquet", "arrow"})
    if (ending == word) return std::string(word);
  for (const std::string_view word : {"csv", "json", "parquet", "arrow", "webdataset"})
    if (name.find(word) != std::string::npos) return std::string(word);
  return {};
}

Result<std::vector<fs::path>> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  std::size_t seen = 0;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (++seen > kMaxFolderEntries) {
      return Error(ErrorCode::Invalid, fmt::format("{} holds more than {} files; name one with "
                                                   "dataset_path",
                                                   folder.string(), kMaxFolderEntries));
    }
    // Volumes of ConfigMaps and Secrets keep their versions in hidden folders.
    if (entry->path().filename().string().starts_with('.')) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (entry->is_regular_file()) files.push_back(entry->path());
  }
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  std::sort(files.begin(), files.end());
  return files;
}

Result<FoundData> at_path(const fs::path& folder, const DatasetSettings& settings) {
  const fs::path given(settings.path);
  const fs::path file = given.is_absolute() ? given : folder / given;
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return Error(ErrorCode::NotFound,
                 fmt::format("dataset_path: there is no file {}", file.string()));
  }
  std::string word = lower(settings.extension);
  if (word.empty()) word = word_in(file);
  if (word.empty()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("the name of {} does not say its format; set dataset_extension",
                             file.string()));
  }
  return FoundData{.files = {file},
                   .format = TRY(base::with_context(format_of(word), file.string()))};
}

}  // namespace

Result<FoundData> find_data(const fs::path& folder, const DatasetSettings& settings) {
  if (!settings.path.empty()) return at_path(folder, settings);
  const std::vector<fs::path> files = TRY(files_below(folder));
  std::optional<DataFormat> format;
  if (!settings.extension.empty())
    format = TRY(base::with_context(format_of(lower(settings.extension)), "dataset_extension"));
  FoundData found;
  std::vector<std::string> names;
  std::optional<Error> unreadable;
  for (const fs::path& file : files) {
    if (names.size() < kNamedFiles) names.push_back(file.filename().string());
    const std::string word = word_in(file);
    if (word.empty()) continue;
    const auto here = format_of(word);
    if (!here) {
      unreadable = Error(here.error()).context(file.string());
      continue;
    }
    if (!format) format = *here;
    if (*here == *format) found.files.push_back(file);
  }
  // A single file of no telling name is what dataset_extension is for.
  if (found.files.empty() && !settings.extension.empty() && files.size() == 1) found.files = files;
  if (found.files.empty()) {
    if (unreadable) return *std::move(unreadable);
    if (files.empty())
      return Error(ErrorCode::NotFound, fmt::format("there is no file in {}", folder.string()));
    return Error(ErrorCode::NotFound,
                 fmt::format("no data file in {}: names must end in .csv, .json, .jsonl or "
                             ".parquet, or dataset_path must name the file; there are {}",
                             folder.string(), fmt::join(names, ", ")));
  }
  found.format = *format;
  return found;
}

}  // namespace tuning
