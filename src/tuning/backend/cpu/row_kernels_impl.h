// The inner loops that work on one row at a time, over any set of instructions. Included by
// kernels_impl.h.
#pragma once

namespace tuning {

template <class Simd>
struct RowKernels {
  using Real = typename Simd::Real;
  using Vec = typename Simd::Vec;
  static constexpr std::size_t kWidth = Simd::kWidth;

  static constexpr std::size_t round_up(std::size_t value, std::size_t step) {
    return (value + step - 1) / step * step;
  }
  static constexpr std::size_t lesser(std::size_t a, std::size_t b) { return a < b ? a : b; }

  /// Calls `whole(i)` for each full vector below `count` and `part(i, n)` for the rest.
  template <class Whole, class Part>
  static void each_vector(std::size_t count, Whole&& whole, Part&& part) {
    std::size_t i = 0;
    for (; i + kWidth <= count; i += kWidth) whole(i);
    if (i < count) part(i, count - i);
  }

  static void scale_row(Real* row, std::size_t count, Real factor) {
    const Vec f = Simd::set(factor);
    each_vector(
        count, [&](std::size_t i) { Simd::store(row + i, Simd::mul(Simd::load(row + i), f)); },
        [&](std::size_t i, std::size_t n) {
          Simd::store_part(row + i, Simd::mul(Simd::load_part(row + i, n), f), n);
        });
  }

  static Real dot(const Real* a, const Real* b, std::size_t count) {
    Vec sum = Simd::zero();
    each_vector(
        count, [&](std::size_t i) { sum = Simd::fma(Simd::load(a + i), Simd::load(b + i), sum); },
        [&](std::size_t i, std::size_t n) {
          sum = Simd::fma(Simd::load_part(a + i, n), Simd::load_part(b + i, n), sum);
        });
    return Simd::sum(sum);
  }

  static Vec weights(const float* weight) { return Simd::load_float(weight); }
  static Vec weights_part(const float* weight, std::size_t n) {
    if constexpr (kWidth == 1) {
      return Simd::load_float(weight);
    } else {
      return Simd::load_part(weight, n);
    }
  }

  static void rms_norm(std::size_t width, const Real* x, const float* weight, Real epsilon, Real* y,
                       Real* inverse) {
    const Real squares = dot(x, x, width);
    *inverse = 1 / std::sqrt(squares / static_cast<Real>(width) + epsilon);
    const Vec factor = Simd::set(*inverse);
    each_vector(
        width,
        [&](std::size_t i) {
          Simd::store(y + i, Simd::mul(Simd::mul(Simd::load(x + i), factor), weights(weight + i)));
        },
        [&](std::size_t i, std::size_t n) {
          Simd::store_part(
              y + i,
              Simd::mul(Simd::mul(Simd::load_part(x + i, n), factor), weights_part(weight + i, n)),
              n);
        });
  }

  static void rms_norm_backward(std::size_t width, const Real* x, const float* weight, Real inverse,
                                const Real* dy, Real* dx) {
    Vec sum = Simd::zero();
    each_vector(
        width,
        [&](std::size_t i) {
          sum =
              Simd::fma(Simd::mul(Simd::load(dy + i), weights(weight + i)), Simd::load(x + i), sum);
        },
        [&](std::size_t i, std::size_t n) {
          sum = Simd::fma(Simd::mul(Simd::load_part(dy + i, n), weights_part(weight + i, n)),
                          Simd::load_part(x + i, n), sum);
        });
    const Vec scale = Simd::set(inverse);
    const Vec pull =
        Simd::set(-inverse * inverse * inverse * Simd::sum(sum) / static_cast<Real>(width));
    const auto gradient = [&](Vec x_i, Vec w_i, Vec dy_i, Vec dx_i) {
      return Simd::fma(pull, x_i, Simd::fma(Simd::mul(scale, w_i), dy_i, dx_i));
    };
    each_vector(
        width,
        [&](std::size_t i) {
          Simd::store(dx + i, gradient(Simd::load(x + i), weights(weight + i), Simd::load(dy + i),
                                       Simd::load(dx + i)));
        },
        [&](std::size_t i, std::size_t n) {
          Simd::store_part(dx + i,
                           gradient(Simd::load_part(x + i, n), weights_part(weight + i, n),
                                    Simd::load_part(dy + i, n), Simd::load_part(dx + i, n)),
                           n);
        });
  }

  static Vec sigmoid(Vec x) {
    const Vec one = Simd::set(1);
    return Simd::div(one, Simd::add(one, Simd::exp(Simd::sub(Simd::zero(), x))));
  }

  static Vec gated(Vec g, Vec u) { return Simd::mul(Simd::mul(g, sigmoid(g)), u); }

  static void swiglu(std::size_t count, const Real* gate, const Real* up, Real* out) {
    each_vector(
        count,
        [&](std::size_t i) {
          Simd::store(out + i, gated(Simd::load(gate + i), Simd::load(up + i)));
        },
        [&](std::size_t i, std::size_t n) {
          Simd::store_part(out + i, gated(Simd::load_part(gate + i, n), Simd::load_part(up + i, n)),
                           n);
        });
  }

  static void swiglu_backward(std::size_t count, const Real* gate, const Real* up, const Real* dout,
                              Real* dgate, Real* dup) {
    const auto put = [&](Vec g, Vec u, Vec d, auto&& store_gate, auto&& store_up) {
      const Vec s = sigmoid(g), one = Simd::set(1);
      store_up(Simd::mul(d, Simd::mul(g, s)));
      const Vec slope = Simd::mul(s, Simd::fma(g, Simd::sub(one, s), one));
      store_gate(Simd::mul(Simd::mul(d, u), slope));
    };
    each_vector(
        count,
        [&](std::size_t i) {
          put(
              Simd::load(gate + i), Simd::load(up + i), Simd::load(dout + i),
              [&](Vec v) { Simd::store(dgate + i, v); }, [&](Vec v) { Simd::store(dup + i, v); });
        },
        [&](std::size_t i, std::size_t n) {
          put(
              Simd::load_part(gate + i, n), Simd::load_part(up + i, n),
              Simd::load_part(dout + i, n), [&](Vec v) { Simd::store_part(dgate + i, v, n); },
              [&](Vec v) { Simd::store_part(dup + i, v, n); });
        });
  }

  static void rotate(std::size_t heads, std::size_t dimension, std::size_t half, const Real* cosine,
                     const Real* sine, Real sign, Real* x) {
    const Vec signs = Simd::set(sign), minus = Simd::set(-sign);
    for (std::size_t head = 0; head < heads; ++head, x += dimension) {
      Real* first = x;
      Real* second = x + half;
      each_vector(
          half,
          [&](std::size_t i) {
            const Vec c = Simd::load(cosine + i), s = Simd::load(sine + i);
            const Vec u = Simd::load(first + i), v = Simd::load(second + i);
            Simd::store(first + i, Simd::fma(Simd::mul(v, s), minus, Simd::mul(u, c)));
            Simd::store(second + i, Simd::fma(Simd::mul(u, s), signs, Simd::mul(v, c)));
          },
          [&](std::size_t i, std::size_t n) {
            const Vec c = Simd::load_part(cosine + i, n), s = Simd::load_part(sine + i, n);
            const Vec u = Simd::load_part(first + i, n), v = Simd::load_part(second + i, n);
            Simd::store_part(first + i, Simd::fma(Simd::mul(v, s), minus, Simd::mul(u, c)), n);
            Simd::store_part(second + i, Simd::fma(Simd::mul(u, s), signs, Simd::mul(v, c)), n);
          });
    }
  }

  static void add(std::size_t count, const Real* x, Real* y) {
    each_vector(
        count,
        [&](std::size_t i) { Simd::store(y + i, Simd::add(Simd::load(x + i), Simd::load(y + i))); },
        [&](std::size_t i, std::size_t n) {
          Simd::store_part(y + i, Simd::add(Simd::load_part(x + i, n), Simd::load_part(y + i, n)),
                           n);
        });
  }

  static double cross_entropy(std::size_t count, std::size_t label, Real scale, Real* logits) {
    constexpr std::size_t kPiece = 1024;  // Sums of more floats than this lose digits.
    Real top = logits[0];
    std::size_t i = 0;
    Vec highest = Simd::set(top);
    for (; i + kWidth <= count; i += kWidth) highest = Simd::max(highest, Simd::load(logits + i));
    top = Simd::largest(highest);
    for (; i < count; ++i) top = logits[i] > top ? logits[i] : top;
    const double right = static_cast<double>(logits[label]) - static_cast<double>(top);
    const Vec shift = Simd::set(-top);
    double total = 0;
    for (std::size_t first = 0; first < count; first += kPiece) {
      Real* piece = logits + first;
      Vec sum = Simd::zero();
      each_vector(
          lesser(kPiece, count - first),
          [&](std::size_t j) {
            const Vec e = Simd::exp(Simd::add(Simd::load(piece + j), shift));
            Simd::store(piece + j, e);
            sum = Simd::add(sum, e);
          },
          [&](std::size_t j, std::size_t n) {
            Simd::store_part(piece + j, Simd::exp(Simd::add(Simd::load_part(piece + j, n), shift)),
                             n);
            sum = Simd::add(sum, Simd::load_part(piece + j, n));
          });
      total += static_cast<double>(Simd::sum(sum));
    }
    scale_row(logits, count, static_cast<Real>(static_cast<double>(scale) / total));
    logits[label] -= scale;
    return std::log(total) - right;
  }
};

}  // namespace tuning
