// Included by kernel files only, inside their target region.
#pragma once

namespace tuning {

/// Sixteen floats in an AVX-512 register. `Tag` keeps the instantiations of files that are
/// compiled for different instructions apart.
template <class Tag>
struct Avx512Simd {
  using Real = float;
  using Vec = __m512;
  static constexpr std::size_t kWidth = 16;
  static constexpr std::size_t kTileRows = 8;
  static constexpr std::size_t kTileVectors = 3;

  static __mmask16 mask(std::size_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set(float x) { return _mm512_set1_ps(x); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load_float(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load_part(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  static void store_part(float* p, Vec v, std::size_t n) { _mm512_mask_storeu_ps(p, mask(n), v); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec exp(Vec x) {
    x = _mm512_min_ps(_mm512_max_ps(x, set(kExpSmallest)), set(kExpLargest));
    const Vec n = _mm512_roundscale_ps(_mm512_mul_ps(x, set(kLog2E)),
                                       _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec r = _mm512_fnmadd_ps(n, set(kLn2Low), _mm512_fnmadd_ps(n, set(kLn2High), x));
    Vec p = set(kExpTerms[0]);
    for (std::size_t i = 1; i < 6; ++i) p = _mm512_fmadd_ps(p, r, set(kExpTerms[i]));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, set(1)));
    return _mm512_scalef_ps(p, n);
  }
  static float sum(Vec a) { return _mm512_reduce_add_ps(a); }
  static float largest(Vec a) { return _mm512_reduce_max_ps(a); }

  /// Sixteen vectors of 32-bit elements as a matrix, in place.
  static void transpose(__m512i* r) {
    __m512i t[16];
    for (std::size_t i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (std::size_t i = 0; i < 16; i += 4) {
      r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
      t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
      t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
      r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
      r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
      r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
    }
  }
  static void transpose(Vec* r) {
    __m512i whole[16];
    for (std::size_t i = 0; i < 16; ++i) whole[i] = _mm512_castps_si512(r[i]);
    transpose(whole);
    for (std::size_t i = 0; i < 16; ++i) r[i] = _mm512_castsi512_ps(whole[i]);
  }

  static Vec from_bf16(const std::uint16_t* p) {
    const __m512i wide =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static Vec from_int8(const std::int8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  /// Sixteen 4-bit codes through a table of 16 values.
  static Vec from_nibbles(const std::uint8_t* p, const float* table) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i low_mask = _mm_set1_epi8(15);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), low_mask);
    const __m512i codes =
        _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(high, _mm_and_si128(bytes, low_mask)));
    return _mm512_permutexvar_ps(codes, _mm512_loadu_ps(table));
  }
};

}  // namespace tuning
