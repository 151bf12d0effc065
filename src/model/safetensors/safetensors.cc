#include "model/safetensors/safetensors.h"

#include <fmt/format.h>

#include <system_error>

#include "json/value.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::size_t kMaxIndexBytes = 64 << 20;
constexpr std::size_t kMaxShards = 4096;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// A name from an index may not lead out of the index's folder.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

/// The only .safetensors file of a folder.
Result<std::filesystem::path> only_file(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".safetensors") found.push_back(entry->path());
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  if (found.size() == 1) return found.front();
  if (found.empty())
    return Error(ErrorCode::NotFound,
                 fmt::format("{} holds no .safetensors file", folder.string()));
  return invalid(fmt::format("{} holds {} .safetensors files and no {}", folder.string(),
                             found.size(), kIndexFile));
}

}  // namespace

Result<std::vector<float>> TensorView::floats() const {
  std::vector<float> values(info.elements());
  auto done = to_floats(info.type, bytes, values);
  if (!done) return std::move(done).error().context(fmt::format("tensor {}", info.name));
  return values;
}

Result<Safetensors> Safetensors::open(const std::filesystem::path& path) {
  Safetensors set;
  set.origin_ = path.string();
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    TRY(set.add(path));
    return set;
  }
  if (std::filesystem::exists(path / kIndexFile, error)) {
    TRY(set.add_shards(path / kIndexFile));
  } else if (std::filesystem::exists(path / kSingleFile, error)) {
    TRY(set.add(path / kSingleFile));
  } else {
    const std::filesystem::path file = TRY(only_file(path));
    TRY(set.add(file));
  }
  return set;
}

base::Status Safetensors::add(const std::filesystem::path& path) {
  MappedFile mapping = TRY(MappedFile::open(path));
  auto header = parse_safetensors_header(mapping.text(), mapping.bytes().size());
  if (!header) return std::move(header).error().context(path.string());
  for (auto& entry : header->entries) {
    const auto [place, fresh] = places_.emplace(entry.tensor.name, tensors_.size());
    if (!fresh)
      return invalid(fmt::format("{}: tensor {} is there twice", path.string(), place->first));
    const auto bytes = mapping.bytes().subspan(entry.begin, entry.tensor.bytes());
    tensors_.push_back({std::move(entry.tensor), bytes});
  }
  if (mappings_.empty()) metadata_ = std::move(header->metadata);
  mappings_.push_back(std::move(mapping));
  return {};
}

base::Status Safetensors::add_shards(const std::filesystem::path& index) {
  const std::string text = TRY(base::read_file(index, kMaxIndexBytes));
  auto document = json::parse(text, {.max_bytes = kMaxIndexBytes});
  if (!document) return std::move(document).error().context(index.string());
  const json::Object* map = json::find_object(*document, "weight_map");
  if (!map) return invalid(fmt::format("{}: weight_map is missing", index.string()));
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& member : *map) {
    const json::String* file = member.value().if_string();
    if (!file || !is_plain_name(json::view(*file)))
      return invalid(fmt::format("{}: weight_map.{} should be a file name", index.string(),
                                 std::string_view(member.key())));
    shards[json::to_string(*file)].emplace_back(member.key());
  }
  if (shards.size() > kMaxShards)
    return invalid(
        fmt::format("{}: names {} files, more than {}", index.string(), shards.size(), kMaxShards));
  for (const auto& [file, names] : shards) {
    TRY(add(index.parent_path() / file));
    for (const std::string& name : names)
      if (!find(name))
        return invalid(
            fmt::format("{}: {} should hold tensor {}, but does not", index.string(), file, name));
  }
  return {};
}

const TensorView* Safetensors::find(std::string_view name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : &tensors_[place->second];
}

Result<const TensorView*> Safetensors::get(std::string_view name) const {
  if (const TensorView* found = find(name)) return found;
  return Error(ErrorCode::NotFound, fmt::format("{} holds no tensor {}", origin_, name));
}

}  // namespace model
