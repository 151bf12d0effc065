#include "model/gguf/gguf_writer.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "base/file.h"

namespace model {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::uint32_t kVersion = 3;

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out += text;
}

std::uint64_t padded(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void GgufWriter::key(std::string_view name, GgufValueType type) {
  append_text(metadata_, name);
  append(metadata_, type);
  ++metadata_count_;
}

void GgufWriter::array(std::string_view name, GgufValueType type, std::size_t count) {
  key(name, GgufValueType::Array);
  append(metadata_, type);
  append<std::uint64_t>(metadata_, count);
}

void GgufWriter::text(std::string_view name, std::string_view value) {
  key(name, GgufValueType::Text);
  append_text(metadata_, value);
}

void GgufWriter::number(std::string_view name, std::uint32_t value) {
  key(name, GgufValueType::Uint32);
  append(metadata_, value);
}

void GgufWriter::real(std::string_view name, float value) {
  key(name, GgufValueType::Float32);
  append(metadata_, value);
}

void GgufWriter::boolean(std::string_view name, bool value) {
  key(name, GgufValueType::Bool);
  append(metadata_, static_cast<std::uint8_t>(value ? 1 : 0));
}

void GgufWriter::texts(std::string_view name, std::span<const std::string> values) {
  array(name, GgufValueType::Text, values.size());
  for (const std::string& value : values) append_text(metadata_, value);
}

void GgufWriter::integers(std::string_view name, std::span<const std::int32_t> values) {
  array(name, GgufValueType::Int32, values.size());
  for (const std::int32_t value : values) append(metadata_, value);
}

void GgufWriter::reals(std::string_view name, std::span<const float> values) {
  array(name, GgufValueType::Float32, values.size());
  for (const float value : values) append(metadata_, value);
}

void GgufWriter::tensor(std::string_view name, const GgufType& type,
                        std::span<const std::uint64_t> shape) {
  ASSERT(!shape.empty() && shape.back() % type.block_elements == 0);
  append_text(tensors_, name);
  append(tensors_, static_cast<std::uint32_t>(shape.size()));
  std::uint64_t elements = 1;
  for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent) {
    append<std::uint64_t>(tensors_, *extent);
    elements *= *extent;
  }
  append(tensors_, type.id);
  append(tensors_, data_bytes_);
  tensor_bytes_.push_back(elements / type.block_elements * type.block_bytes);
  data_bytes_ += padded(tensor_bytes_.back());
}

base::Status GgufWriter::write(int fd, const BytesOf& bytes_of) const {
  std::string front = "GGUF";
  append(front, kVersion);
  append<std::uint64_t>(front, tensor_bytes_.size());
  append(front, metadata_count_);
  front += metadata_;
  front += tensors_;
  front.resize(padded(front.size()));
  TRY(base::write_all(fd, front));
  for (std::size_t i = 0; i < tensor_bytes_.size(); ++i) {
    const std::span<const std::byte> bytes = TRY(bytes_of(i));
    if (bytes.size() != tensor_bytes_[i])
      return base::Error(base::ErrorCode::Internal,
                         fmt::format("tensor {} of a GGUF file has {} bytes instead of {}", i,
                                     bytes.size(), tensor_bytes_[i]));
    TRY(base::write_all(fd, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    TRY(base::write_all(fd, std::string(padded(bytes.size()) - bytes.size(), '\0')));
  }
  return {};
}

}  // namespace model
