#include "apiserver/schema/protobuf_writer.h"

#include <bit>

namespace apiserver {
namespace {

constexpr std::uint32_t kVarint = 0;
constexpr std::uint32_t kFixed64 = 1;
constexpr std::uint32_t kBytes = 2;

}  // namespace

void ProtobufWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<char>((value & 0x7F) | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<char>(value));
}

void ProtobufWriter::tag(std::uint32_t field, std::uint32_t wire_type) {
  varint((std::uint64_t{field} << 3) | wire_type);
}

void ProtobufWriter::element(std::uint32_t field, std::string_view value) {
  tag(field, kBytes);
  varint(value.size());
  bytes_.append(value);
}

void ProtobufWriter::text(std::uint32_t field, std::string_view value) {
  if (!value.empty()) element(field, value);
}

void ProtobufWriter::message(std::uint32_t field, const ProtobufWriter& value) {
  element(field, value.bytes_);
}

void ProtobufWriter::boolean(std::uint32_t field, bool value) {
  if (!value) return;
  tag(field, kVarint);
  varint(1);
}

void ProtobufWriter::integer(std::uint32_t field, std::int64_t value) {
  if (value == 0) return;
  tag(field, kVarint);
  varint(static_cast<std::uint64_t>(value));
}

void ProtobufWriter::real(std::uint32_t field, double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  if (bits == 0) return;
  tag(field, kFixed64);
  for (int shift = 0; shift < 64; shift += 8) {
    bytes_.push_back(static_cast<char>((bits >> shift) & 0xFF));
  }
}

}  // namespace apiserver
