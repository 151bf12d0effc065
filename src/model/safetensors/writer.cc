#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/random.h"
#include "json/value.h"
#include "model/safetensors/safetensors.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

/// Headers are padded with spaces, so that the data is aligned.
constexpr std::size_t kHeaderAlignment = 8;
constexpr mode_t kMode = 0644;

struct Header {
  std::string bytes;
  std::uint64_t data_bytes = 0;
};

Result<Header> make_header(const std::vector<TensorInfo>& tensors,
                           const SafetensorsWriter::Metadata& metadata) {
  json::Object object;
  if (!metadata.empty()) {
    json::Object members;
    for (const auto& [key, value] : metadata) members.emplace(key, value);
    object.emplace("__metadata__", std::move(members));
  }
  std::uint64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t begin = end;
    end += tensor.bytes();
    json::Array shape;
    for (const std::uint64_t count : tensor.shape) shape.push_back(count);
    const bool fresh = object
                           .emplace(tensor.name, json::Object{{"dtype", name_of(tensor.type)},
                                                              {"shape", std::move(shape)},
                                                              {"data_offsets", {begin, end}}})
                           .second;
    if (!fresh)
      return Error(ErrorCode::Invalid, fmt::format("tensor {} is given twice", tensor.name));
  }
  std::string text = json::dump(object);
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const std::uint64_t length = text.size();
  Header header;
  header.bytes.assign(reinterpret_cast<const char*>(&length), sizeof length);
  header.bytes += text;
  header.data_bytes = end;
  return header;
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                    const std::vector<TensorInfo>& tensors,
                                                    const Metadata& metadata) {
  const Header header = TRY(make_header(tensors, metadata));
  SafetensorsWriter writer;
  writer.path_ = path;
  const std::filesystem::path temporary =
      path.parent_path() / fmt::format(".{}.{}", path.filename().string(), base::random_uuid());
  writer.file_.reset(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode));
  if (!writer.file_)
    return base::system_error(fmt::format("creating {}", temporary.string()), errno);
  writer.temporary_ = temporary;
  writer.missing_bytes_ = header.data_bytes;
  auto written = base::write_all(writer.file_.get(), header.bytes);
  if (!written) return std::move(written).error().context(path.string());
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)),
      missing_bytes_(other.missing_bytes_) {}

base::Status SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > missing_bytes_)
    return Error(ErrorCode::Invalid,
                 fmt::format("{}: more bytes than its tensors have", path_.string()));
  missing_bytes_ -= bytes.size();
  return base::with_context(
      base::write_all(file_.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
      path_.string());
}

base::Status SafetensorsWriter::finish() {
  if (missing_bytes_ != 0)
    return Error(ErrorCode::Invalid,
                 fmt::format("{}: {} bytes are missing", path_.string(), missing_bytes_));
  if (::fdatasync(file_.get()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0)
    return base::system_error(fmt::format("writing {}", path_.string()), errno);
  temporary_.clear();
  file_.reset();
  return {};
}

base::Status write_safetensors(const std::filesystem::path& path,
                               std::span<const TensorView> tensors,
                               const SafetensorsWriter::Metadata& metadata) {
  std::vector<TensorInfo> infos;
  for (const TensorView& tensor : tensors) infos.push_back(tensor.info);
  SafetensorsWriter writer = TRY(SafetensorsWriter::create(path, infos, metadata));
  for (const TensorView& tensor : tensors) TRY(writer.write(tensor.bytes));
  return writer.finish();
}

}  // namespace model
