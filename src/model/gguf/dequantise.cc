#include "model/gguf/dequantise.h"

#include <fmt/format.h>

#include <cstring>

#include "model/safetensors/data_type.h"

// Layouts of the blocks. Source: ggml-common.h, ggml-quants.c.
namespace model {
namespace {

constexpr std::size_t kSmallBlock = 32;
constexpr std::size_t kSuperBlock = 256;

/// Little-endian fields of one block.
class Block {
 public:
  explicit Block(const std::byte* bytes) : bytes_(bytes) {}
  std::uint32_t u8(std::size_t at) const { return static_cast<std::uint8_t>(bytes_[at]); }
  float i8(std::size_t at) const {
    return static_cast<float>(static_cast<std::int8_t>(bytes_[at]));
  }
  float half(std::size_t at) const { return float_from_half(u16(at)); }
  std::uint16_t u16(std::size_t at) const {
    std::uint16_t value;
    std::memcpy(&value, bytes_ + at, sizeof(value));
    return value;
  }
  std::uint32_t u32(std::size_t at) const {
    std::uint32_t value;
    std::memcpy(&value, bytes_ + at, sizeof(value));
    return value;
  }
  std::uint32_t low(std::size_t at) const { return u8(at) & 15u; }
  std::uint32_t high(std::size_t at) const { return u8(at) >> 4; }

 private:
  const std::byte* bytes_;
};

float whole(std::uint32_t value) { return static_cast<float>(static_cast<std::int32_t>(value)); }

void q4_0(const Block& block, float* out) {
  const float d = block.half(0);
  for (std::size_t i = 0; i < kSmallBlock / 2; ++i) {
    out[i] = (whole(block.low(2 + i)) - 8) * d;
    out[i + kSmallBlock / 2] = (whole(block.high(2 + i)) - 8) * d;
  }
}

void q4_1(const Block& block, float* out) {
  const float d = block.half(0), minimum = block.half(2);
  for (std::size_t i = 0; i < kSmallBlock / 2; ++i) {
    out[i] = whole(block.low(4 + i)) * d + minimum;
    out[i + kSmallBlock / 2] = whole(block.high(4 + i)) * d + minimum;
  }
}

/// The fifth bits of the values lie apart, at `bits`.
void q5(const Block& block, std::size_t bits, float shift, float minimum, float* out) {
  const float d = block.half(0);
  const std::uint32_t fifth = block.u32(bits);
  for (std::size_t i = 0; i < kSmallBlock / 2; ++i) {
    const std::uint32_t first = block.low(bits + 4 + i) | (fifth >> i & 1u) << 4;
    const std::uint32_t second = block.high(bits + 4 + i) | (fifth >> (i + 16) & 1u) << 4;
    out[i] = (whole(first) - shift) * d + minimum;
    out[i + kSmallBlock / 2] = (whole(second) - shift) * d + minimum;
  }
}
void q5_0(const Block& block, float* out) { q5(block, 2, 16, 0, out); }
void q5_1(const Block& block, float* out) { q5(block, 4, 0, block.half(2), out); }

void q8_0(const Block& block, float* out) {
  const float d = block.half(0);
  for (std::size_t i = 0; i < kSmallBlock; ++i) out[i] = block.i8(2 + i) * d;
}

/// Six-bit scale and minimum number `j` of eight, from 12 bytes at 4.
struct ScaleAndMinimum {
  float scale;
  float minimum;
};
ScaleAndMinimum six_bits(const Block& block, std::size_t j) {
  constexpr std::size_t kAt = 4;
  if (j < 4) return {whole(block.u8(kAt + j) & 63u), whole(block.u8(kAt + j + 4) & 63u)};
  return {whole(block.low(kAt + j + 4) | block.u8(kAt + j - 4) >> 6 << 4),
          whole(block.high(kAt + j + 4) | block.u8(kAt + j) >> 6 << 4)};
}

/// Eight groups of 32 values: low halves of 32 bytes, then their high halves. `fifth`: where the
/// fifth bits lie, bit `group` of 32 bytes; 0: there are none.
void k_groups(const Block& block, std::size_t values, std::size_t fifth, float* out) {
  const float d = block.half(0), minimum = block.half(2);
  for (std::size_t group = 0; group < 8; ++group) {
    const auto six = six_bits(block, group);
    const float scale = d * six.scale, below = minimum * six.minimum;
    const std::size_t at = values + group / 2 * 32;
    for (std::size_t i = 0; i < 32; ++i) {
      std::uint32_t value = group % 2 == 0 ? block.low(at + i) : block.high(at + i);
      if (fifth != 0) value |= (block.u8(fifth + i) >> group & 1u) << 4;
      *out++ = scale * whole(value) - below;
    }
  }
}
void q4_k(const Block& block, float* out) { k_groups(block, 16, 0, out); }
void q5_k(const Block& block, float* out) { k_groups(block, 48, 16, out); }

void q6_k(const Block& block, float* out) {
  constexpr std::size_t kHighBits = 128, kScales = 192;
  const float d = block.half(208);
  for (std::size_t part = 0; part < 2; ++part) {
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      for (std::size_t i = 0; i < 32; ++i) {
        const std::size_t at = part * 64 + quarter % 2 * 32 + i;
        const std::uint32_t low = quarter < 2 ? block.low(at) : block.high(at);
        const std::uint32_t high = block.u8(kHighBits + part * 32 + i) >> 2 * quarter & 3u;
        const float scale = block.i8(kScales + part * 8 + quarter * 2 + i / 16);
        *out++ = d * scale * (whole(low | high << 4) - 32);
      }
    }
  }
}

struct BlockType {
  std::string_view name;
  std::size_t elements;
  std::size_t bytes;
  void (*decode)(const Block&, float*);
};
constexpr BlockType kBlockTypes[] = {
    {"Q4_0", kSmallBlock, 18, q4_0},  {"Q4_1", kSmallBlock, 20, q4_1},
    {"Q5_0", kSmallBlock, 22, q5_0},  {"Q5_1", kSmallBlock, 24, q5_1},
    {"Q8_0", kSmallBlock, 34, q8_0},  {"Q4_K", kSuperBlock, 144, q4_k},
    {"Q5_K", kSuperBlock, 176, q5_k}, {"Q6_K", kSuperBlock, 210, q6_k},
};

const BlockType* find(std::string_view name) {
  for (const BlockType& type : kBlockTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

}  // namespace

bool can_dequantise(const GgufType& type) {
  return find(type.name) != nullptr || type.name == "F32" || type.name == "F16" ||
         type.name == "BF16";
}

base::Status dequantise(const GgufType& type, std::span<const std::byte> bytes,
                        std::span<float> out) {
  if (const auto plain = data_type_named(type.name); plain && can_dequantise(type)) {
    if (bytes.size() != out.size() * element_bytes(*plain)) {
      return base::Error(base::ErrorCode::Invalid, "wrong number of bytes");
    }
    return to_floats(*plain, bytes, out);
  }
  const BlockType* block = find(type.name);
  if (block == nullptr) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("weights of type {} cannot be dequantised", type.name));
  }
  if (out.size() % block->elements != 0 ||
      bytes.size() != out.size() / block->elements * block->bytes) {
    return base::Error(base::ErrorCode::Invalid, "wrong number of bytes");
  }
  for (std::size_t i = 0; i < out.size() / block->elements; ++i) {
    block->decode(Block(bytes.data() + i * block->bytes), out.data() + i * block->elements);
  }
  return {};
}

}  // namespace model
