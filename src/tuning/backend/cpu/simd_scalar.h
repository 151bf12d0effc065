#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tuning {

/// One number at a time: the reference that the vector kernels are held against, and, in double,
/// the one that finite differences are taken of.
template <class Number>
struct ScalarSimd {
  using Real = Number;
  using Vec = Number;
  static constexpr std::size_t kWidth = 1;
  static constexpr std::size_t kTileRows = 4;
  static constexpr std::size_t kTileVectors = 8;

  static Vec zero() { return 0; }
  static Vec set(Real x) { return x; }
  static Vec load(const Real* p) { return *p; }
  static Vec load_float(const float* p) { return static_cast<Real>(*p); }
  static Vec load_part(const Real* p, std::size_t) { return *p; }
  static void store(Real* p, Vec v) { *p = v; }
  static void store_part(Real* p, Vec v, std::size_t) { *p = v; }
  static Vec add(Vec a, Vec b) { return a + b; }
  static Vec sub(Vec a, Vec b) { return a - b; }
  static Vec mul(Vec a, Vec b) { return a * b; }
  static Vec div(Vec a, Vec b) { return a / b; }
  /// a * b + c
  static Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static Vec max(Vec a, Vec b) { return a > b ? a : b; }
  static Vec exp(Vec a) { return std::exp(a); }
  static Real sum(Vec a) { return a; }
  static Real largest(Vec a) { return a; }
  static void transpose(Vec*) {}
};

}  // namespace tuning
