#include "model/safetensors/data_type.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/assert.h"

namespace model {

using base::Error;
using base::ErrorCode;

namespace {

struct TypeFacts {
  DataType type;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array kTypes{
    TypeFacts{DataType::Bool, "BOOL", 1},      TypeFacts{DataType::U8, "U8", 1},
    TypeFacts{DataType::I8, "I8", 1},          TypeFacts{DataType::F8E4M3, "F8_E4M3", 1},
    TypeFacts{DataType::F8E5M2, "F8_E5M2", 1}, TypeFacts{DataType::I16, "I16", 2},
    TypeFacts{DataType::U16, "U16", 2},        TypeFacts{DataType::F16, "F16", 2},
    TypeFacts{DataType::BF16, "BF16", 2},      TypeFacts{DataType::I32, "I32", 4},
    TypeFacts{DataType::U32, "U32", 4},        TypeFacts{DataType::F32, "F32", 4},
    TypeFacts{DataType::F64, "F64", 8},        TypeFacts{DataType::I64, "I64", 8},
    TypeFacts{DataType::U64, "U64", 8},
};

const TypeFacts& facts(DataType type) { return kTypes[static_cast<std::size_t>(type)]; }

template <class Stored, class Convert>
void read_each(std::span<const std::byte> bytes, std::span<float> out, Convert convert) {
  const std::byte* from = bytes.data();
  for (float& value : out) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);
    from += sizeof stored;
    value = convert(stored);
  }
}

template <class Convert>
void write_each(std::span<const float> values, std::span<std::byte> out, Convert convert) {
  std::byte* to = out.data();
  for (const float value : values) {
    const std::uint16_t stored = convert(value);
    std::memcpy(to, &stored, sizeof stored);
    to += sizeof stored;
  }
}

}  // namespace

static_assert(std::endian::native == std::endian::little);

std::string_view name_of(DataType type) { return facts(type).name; }
std::size_t element_bytes(DataType type) { return facts(type).bytes; }

std::optional<DataType> data_type_named(std::string_view name) {
  for (const TypeFacts& one : kTypes)
    if (one.name == name) return one.type;
  return std::nullopt;
}

base::Status to_floats(DataType type, std::span<const std::byte> bytes, std::span<float> out) {
  ASSERT(bytes.size() == out.size() * element_bytes(type));
  switch (type) {
    case DataType::F32:
      if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return {};
    case DataType::F16:
      read_each<std::uint16_t>(bytes, out, float_from_half);
      return {};
    case DataType::BF16:
      read_each<std::uint16_t>(bytes, out, float_from_bfloat16);
      return {};
    case DataType::F64:
      read_each<double>(bytes, out, [](double value) { return static_cast<float>(value); });
      return {};
    default:
      return Error(ErrorCode::Invalid,
                   fmt::format("{} elements are not supported here; convert them to BF16, F16 or "
                               "F32",
                               name_of(type)));
  }
}

base::Status from_floats(DataType type, std::span<const float> values, std::span<std::byte> out) {
  ASSERT(out.size() == values.size() * element_bytes(type));
  switch (type) {
    case DataType::F32:
      if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
      return {};
    case DataType::F16:
      write_each(values, out, half_from_float);
      return {};
    case DataType::BF16:
      write_each(values, out, bfloat16_from_float);
      return {};
    default:
      return Error(
          ErrorCode::Invalid,
          fmt::format("{} elements cannot be written; use BF16, F16 or F32", name_of(type)));
  }
}

}  // namespace model
