#include "tuning/quant/frozen_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/assert.h"
#include "model/safetensors/data_type.h"
#include "tuning/quant/codes.h"

namespace tuning {
namespace {

constexpr std::size_t kStrideMultiple = 64;
constexpr float kInt8Largest = 127;

/// The code whose value is nearest to `value`; of two equally near ones the lower.
std::uint8_t nf4_code(float value) {
  std::uint8_t code = 0;
  for (std::uint8_t next = 1; next < 16; ++next) {
    const float middle = (kNf4Values[next - 1u] + kNf4Values[next]) / 2;
    if (value > middle) code = next;
  }
  return code;
}

/// The thresholds are the middles between neighbouring values, as bitsandbytes rounds them.
std::uint8_t fp4_code(float value) {
  const std::uint8_t sign = value < 0 ? 8 : 0;
  const float size = std::fabs(value);
  std::uint8_t code = 0;
  if (size > 0.29166667f) {
    if (size > 0.583333f) {
      code = size > 0.8333333f ? 3 : 2;
    } else {
      code = size > 0.4166667f ? 5 : 4;
    }
  } else if (size > 0.0859375f) {
    code = size > 0.20833333f ? 7 : 6;
  } else {
    code = size > 0.00260417f ? 1 : 0;
  }
  return static_cast<std::uint8_t>(sign | code);
}

/// The index of the dynamic value nearest to `value`.
std::uint8_t dynamic_code(float value) {
  const auto& values = dynamic_values();
  const auto above = std::lower_bound(values.begin(), values.end(), value);
  if (above == values.begin()) return 0;
  if (above == values.end()) return 255;
  const auto below = above - 1;
  const auto nearest = *above - value < value - *below ? above : below;
  return static_cast<std::uint8_t>(nearest - values.begin());
}

float largest(std::span<const float> values) {
  float result = 0;
  for (const float value : values) result = std::max(result, std::fabs(value));
  return result;
}

}  // namespace

const std::array<float, 256>& dynamic_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> result{};
    std::size_t count = 0;
    for (int decade = 0; decade < 7; ++decade) {
      const int steps = 1 << decade;
      const auto unit = static_cast<float>(std::pow(10.0, decade - 6));
      const float step = (1.0f - 0.1f) / static_cast<float>(steps);
      // torch.linspace counts from the nearer end, with one rounding.
      const auto boundary = [&](int i) {
        return i < (steps + 1) / 2 ? std::fma(step, static_cast<float>(i), 0.1f)
                                   : std::fma(step, static_cast<float>(i - steps), 1.0f);
      };
      for (int i = 0; i < steps; ++i) {
        const float mean = (boundary(i) + boundary(i + 1)) / 2.0f;
        result[count++] = unit * mean;
        result[count++] = -unit * mean;
      }
    }
    result[count++] = 0;
    result[count++] = 1;
    ASSERT(count == result.size());
    std::sort(result.begin(), result.end());
    return result;
  }();
  return values;
}

FrozenMatrix FrozenMatrix::from_values(std::span<const float> values, std::size_t rows,
                                       std::size_t columns, MatrixFormat format) {
  ASSERT(values.size() == rows * columns);
  FrozenMatrix result;
  result.rows_ = rows;
  result.columns_ = columns;
  result.stride_ = (columns + kStrideMultiple - 1) / kStrideMultiple * kStrideMultiple;
  result.format_ = format.format;
  switch (format.format) {
    case WeightFormat::F32:
      result.fill_f32(values);
      break;
    case WeightFormat::Bf16:
      result.fill_bf16(values);
      break;
    case WeightFormat::Int8:
      result.fill_int8(values);
      break;
    case WeightFormat::Fp4:
    case WeightFormat::Nf4:
      result.fill_4bit(values, format.double_quant);
      break;
  }
  return result;
}

void FrozenMatrix::fill_f32(std::span<const float> values) {
  data_ = AlignedBuffer(rows_ * stride_ * sizeof(float));
  for (std::size_t row = 0; row < rows_; ++row) {
    std::memcpy(data_.as<float>() + row * stride_, values.data() + row * columns_,
                columns_ * sizeof(float));
  }
}

void FrozenMatrix::fill_bf16(std::span<const float> values) {
  data_ = AlignedBuffer(rows_ * stride_ * sizeof(std::uint16_t));
  auto* out = data_.as<std::uint16_t>();
  for (std::size_t row = 0; row < rows_; ++row) {
    for (std::size_t i = 0; i < columns_; ++i) {
      out[row * stride_ + i] = model::bfloat16_from_float(values[row * columns_ + i]);
    }
  }
}

void FrozenMatrix::fill_int8(std::span<const float> values) {
  data_ = AlignedBuffer(rows_ * stride_);
  auto* out = data_.as<std::int8_t>();
  scales_.resize(rows_);
  for (std::size_t row = 0; row < rows_; ++row) {
    const auto from = values.subspan(row * columns_, columns_);
    const float top = largest(from);
    scales_[row] = top / kInt8Largest;
    const float inverse = top > 0 ? kInt8Largest / top : 0;
    for (std::size_t i = 0; i < columns_; ++i) {
      out[row * stride_ + i] = static_cast<std::int8_t>(std::nearbyint(from[i] * inverse));
    }
  }
}

void FrozenMatrix::fill_4bit(std::span<const float> values, bool double_quant) {
  const bool nf4 = format_ == WeightFormat::Nf4;
  const std::size_t blocks = (values.size() + kBlockValues - 1) / kBlockValues;
  data_ = AlignedBuffer((values.size() + 1) / 2);
  code_values_ = nf4 ? &kNf4Values : &kFp4Values;
  scales_.resize(blocks);
  auto* out = data_.as<std::uint8_t>();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t first = block * kBlockValues;
    const auto from = values.subspan(first, std::min(kBlockValues, values.size() - first));
    const float top = largest(from);
    scales_[block] = top;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const float value = top > 0 ? from[i] / top : 0;
      const std::uint8_t code = nf4 ? nf4_code(value) : fp4_code(value);
      const std::size_t place = first + i;
      out[place / 2] = static_cast<std::uint8_t>(out[place / 2] | code << (place % 2 == 0 ? 4 : 0));
    }
  }
  if (double_quant) quantise_scales();
  if (columns_ % kBlockValues == 0) return;
  std::vector<float> exact(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const unsigned code = out[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;
    exact[i] = (*code_values_)[code] * block_scale(i / kBlockValues);
  }
  format_ = WeightFormat::F32;
  fill_f32(exact);
}

void FrozenMatrix::quantise_scales() {
  dynamic_ = dynamic_values().data();
  double sum = 0;
  for (const float scale : scales_) sum += scale;
  scale_offset_ = static_cast<float>(sum / static_cast<double>(scales_.size()));
  scale_codes_.resize(scales_.size());
  for (std::size_t first = 0; first < scales_.size(); first += kScalesPerGroup) {
    const std::size_t end = std::min(first + kScalesPerGroup, scales_.size());
    float top = 0;
    for (std::size_t i = first; i < end; ++i) {
      top = std::max(top, std::fabs(scales_[i] - scale_offset_));
    }
    group_scales_.push_back(top);
    for (std::size_t i = first; i < end; ++i) {
      scale_codes_[i] = dynamic_code(top > 0 ? (scales_[i] - scale_offset_) / top : 0);
    }
  }
  scales_ = {};
}

std::uint64_t FrozenMatrix::bytes() const {
  return data_.size() + scales_.size() * sizeof(float) + scale_codes_.size() +
         group_scales_.size() * sizeof(float);
}

void FrozenMatrix::read(std::size_t row, std::size_t column, std::span<float> out) const {
  ASSERT(row < rows_ && column + out.size() <= columns_);
  const std::size_t place = row * stride_ + column;
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (format_) {
      case WeightFormat::F32:
        out[i] = f32()[place + i];
        break;
      case WeightFormat::Bf16:
        out[i] = model::float_from_bfloat16(bf16()[place + i]);
        break;
      case WeightFormat::Int8:
        out[i] = static_cast<float>(int8()[place + i]) * row_scale(row);
        break;
      case WeightFormat::Fp4:
      case WeightFormat::Nf4: {
        const std::size_t value = row * columns_ + column + i;
        const unsigned code = nibbles()[value / 2] >> (value % 2 == 0 ? 4 : 0) & 15u;
        out[i] = code_values()[code] * block_scale(value / kBlockValues);
        break;
      }
    }
  }
}

}  // namespace tuning
