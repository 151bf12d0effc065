#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "tuning/backend/aligned_buffer.h"
#include "tuning/engine/types.h"
#include "tuning/quant/codes.h"

namespace tuning {

struct MatrixFormat {
  WeightFormat format = WeightFormat::F32;
  bool double_quant = false;  ///< Of the 4-bit formats.
};

/// A weight [rows, columns] that is never trained, in one of the formats. Immutable once filled.
///
/// Rows of F32, Bf16 and Int8 begin `stride` elements apart; the columns from `columns` to `stride`
/// are zero, so that vectors may read past the end of a row. 4-bit values lie densely, two a byte,
/// the first in the high half, in blocks of kBlockValues along the row (columns is a multiple).
class FrozenMatrix {
 public:
  FrozenMatrix() = default;
  /// Columns that are no multiple of kBlockValues have their blocks run across rows, as in
  /// bitsandbytes; such a matrix is quantised, but kept as F32.
  static FrozenMatrix from_values(std::span<const float> values, std::size_t rows,
                                  std::size_t columns, MatrixFormat format);

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t stride() const { return stride_; }
  /// F32 where the values are kept as such; see from_values.
  WeightFormat format() const { return format_; }
  std::uint64_t bytes() const;

  const float* f32() const { return reinterpret_cast<const float*>(data_.data()); }
  const std::uint16_t* bf16() const { return reinterpret_cast<const std::uint16_t*>(data_.data()); }
  const std::int8_t* int8() const { return reinterpret_cast<const std::int8_t*>(data_.data()); }
  const std::uint8_t* nibbles() const {
    return reinterpret_cast<const std::uint8_t*>(data_.data());
  }
  /// Of Int8: what a row's values are multiplied by.
  float row_scale(std::size_t row) const { return scales_[row]; }
  /// Of the 4-bit formats: what the values of block `block` are multiplied by.
  float block_scale(std::size_t block) const {
    if (scale_codes_.empty()) return scales_[block];
    const float scaled = dynamic_[scale_codes_[block]] * group_scales_[block / kScalesPerGroup];
    return scaled + scale_offset_;
  }
  /// Of the 4-bit formats: the value of each code.
  const std::array<float, 16>& code_values() const { return *code_values_; }

  /// The values of `row` from `column` on.
  void read(std::size_t row, std::size_t column, std::span<float> out) const;

  // The parts of the 4-bit formats, for comparison with bitsandbytes.
  std::span<const std::uint8_t> packed() const { return {nibbles(), rows_ * columns_ / 2}; }
  std::span<const std::uint8_t> scale_codes() const { return scale_codes_; }
  std::span<const float> group_scales() const { return group_scales_; }
  std::span<const float> block_scales() const { return scales_; }
  float scale_offset() const { return scale_offset_; }

 private:
  void fill_f32(std::span<const float> values);
  void fill_bf16(std::span<const float> values);
  void fill_int8(std::span<const float> values);
  void fill_4bit(std::span<const float> values, bool double_quant);
  void quantise_scales();

  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::size_t stride_ = 0;
  WeightFormat format_ = WeightFormat::F32;
  AlignedBuffer data_;
  std::vector<float> scales_;  ///< Of rows or blocks; empty with double quantisation.
  std::vector<std::uint8_t> scale_codes_;
  std::vector<float> group_scales_;
  float scale_offset_ = 0;
  const float* dynamic_ = nullptr;
  const std::array<float, 16>* code_values_ = nullptr;
};

}  // namespace tuning
