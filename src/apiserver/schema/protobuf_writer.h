#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace apiserver {

/// Writes one protobuf message (proto3: values at their default are left out).
class ProtobufWriter {
 public:
  void text(std::uint32_t field, std::string_view value);
  void boolean(std::uint32_t field, bool value);
  void integer(std::uint32_t field, std::int64_t value);
  void real(std::uint32_t field, double value);
  /// Written even when empty: presence of a message counts.
  void message(std::uint32_t field, const ProtobufWriter& value);
  /// An element of a repeated string: written even when empty.
  void element(std::uint32_t field, std::string_view value);

  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value);
  void tag(std::uint32_t field, std::uint32_t wire_type);

  std::string bytes_;
};

}  // namespace apiserver
