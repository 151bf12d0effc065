#include "tuning/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tuning/engine/random.h"

namespace tuning {
namespace {

constexpr std::size_t kRowsPerTask = 16;
constexpr std::size_t kElementsPerTask = 1 << 15;

std::size_t pieces(std::size_t count, std::size_t size) { return (count + size - 1) / size; }

}  // namespace

template <class Real>
CpuBackend<Real>::CpuBackend(const KernelTable<Real>& kernels, ThreadPool& pool)
    : kernels_(kernels), pool_(pool), workers_(pool.threads()) {
  for (Worker& worker : workers_) {
    worker.panel = AlignedBuffer(kPanelDepth * kernels_.tile_columns * kernels_.element_bytes);
    worker.scratch.resize(right_scratch_values());
  }
}

template <class Real>
template <class Body>
void CpuBackend<Real>::each_row(std::size_t rows, Body&& body) {
  pool_.run(pieces(rows, kRowsPerTask), [&](std::size_t task, std::size_t) {
    const std::size_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (std::size_t row = task * kRowsPerTask; row < end; ++row) body(row);
  });
}

template <class Real>
void CpuBackend<Real>::embed(const FrozenMatrix& table, std::span<const TokenId> tokens,
                             Real* out) {
  const std::size_t width = table.columns();
  each_row(tokens.size(), [&](std::size_t row) {
    std::vector<float> values(width);
    table.read(static_cast<std::size_t>(tokens[row]), 0, values);
    std::copy(values.begin(), values.end(), out + row * width);
  });
}

template <class Real>
void CpuBackend<Real>::rms_norm(std::size_t rows, std::size_t width, const Real* x,
                                const float* weight, double epsilon, Real* y, Real* inverse) {
  each_row(rows, [&](std::size_t row) {
    kernels_.rms_norm(width, x + row * width, weight, static_cast<Real>(epsilon), y + row * width,
                      inverse + row);
  });
}

template <class Real>
void CpuBackend<Real>::rms_norm_backward(std::size_t rows, std::size_t width, const Real* x,
                                         const float* weight, const Real* inverse, const Real* dy,
                                         Real* dx) {
  each_row(rows, [&](std::size_t row) {
    const std::size_t place = row * width;
    kernels_.rms_norm_backward(width, x + place, weight, inverse[row], dy + place, dx + place);
  });
}

template <class Real>
void CpuBackend<Real>::rotate(const Rotation<Real>& rotation, std::span<const std::size_t> starts,
                              std::size_t heads, std::size_t dimension, std::size_t stride,
                              Turn turn, Real* x) {
  const Real sign = turn == Turn::Forward ? Real{1} : Real{-1};
  each_row(starts.back(), [&](std::size_t row) {
    const auto after = std::upper_bound(starts.begin(), starts.end(), row);
    const std::size_t angle = (row - *(after - 1)) * rotation.half;
    kernels_.rotate(heads, dimension, rotation.half, rotation.cosine.data() + angle,
                    rotation.sine.data() + angle, sign, x + row * stride);
  });
}

template <class Real>
AttentionHead<Real> CpuBackend<Real>::head_of(const Attention<Real>& attention,
                                              std::size_t sequence, std::size_t head) const {
  const std::size_t first = attention.starts[sequence];
  const std::size_t kv_head = head / (attention.heads / attention.kv_heads);
  const std::size_t width = attention.width();
  const Real* row = attention.qkv + first * width;
  AttentionHead<Real> result;
  result.tokens = attention.starts[sequence + 1] - first;
  result.dimension = attention.dimension;
  result.window = attention.window;
  result.scale = static_cast<Real>(1 / std::sqrt(static_cast<double>(attention.dimension)));
  result.q = row + head * attention.dimension;
  result.k = row + (attention.heads + kv_head) * attention.dimension;
  result.v = row + (attention.heads + attention.kv_heads + kv_head) * attention.dimension;
  result.q_stride = width;
  result.kv_stride = width;
  result.out_stride = attention.heads * attention.dimension;
  result.out = attention.out + first * result.out_stride + head * attention.dimension;
  result.log_sum_stride = attention.heads;
  result.log_sum = attention.log_sum + first * attention.heads + head;
  return result;
}

template <class Real>
void CpuBackend<Real>::attention(const Attention<Real>& attention) {
  struct Task {
    std::size_t sequence, head, query;
  };
  std::vector<Task> tasks;
  for (std::size_t s = 0; s + 1 < attention.starts.size(); ++s) {
    const std::size_t tokens = attention.starts[s + 1] - attention.starts[s];
    // The last tiles see the most keys: they go first.
    for (std::size_t tile = pieces(tokens, kAttentionTile); tile-- > 0;) {
      for (std::size_t head = 0; head < attention.heads; ++head) {
        tasks.push_back({s, head, tile * kAttentionTile});
      }
    }
  }
  for (Worker& worker : workers_) {
    const std::size_t wanted = attention_scratch_values(attention.dimension);
    if (worker.scratch.size() < wanted) worker.scratch.resize(wanted);
  }
  pool_.run(tasks.size(), [&](std::size_t index, std::size_t worker) {
    const Task& task = tasks[index];
    kernels_.attention(head_of(attention, task.sequence, task.head), task.query,
                       workers_[worker].scratch.data());
  });
}

template <class Real>
void CpuBackend<Real>::attention_backward(const Attention<Real>& attention, const Real* dout,
                                          Real* dqkv) {
  const std::size_t sequences = attention.starts.size() - 1;
  const std::size_t tokens = attention.starts.back();
  const std::size_t d = attention.dimension, heads = attention.heads;
  const std::size_t q_size = heads * d, kv_size = attention.kv_heads * d;
  const std::size_t width = attention.width();
  if (dkv_.size() < 2 * tokens * q_size) dkv_.resize(2 * tokens * q_size);
  Real* dk_all = dkv_.data();
  Real* dv_all = dk_all + tokens * q_size;
  pool_.run(sequences * heads, [&](std::size_t task, std::size_t worker) {
    const std::size_t sequence = task / heads, head = task % heads;
    const std::size_t first = attention.starts[sequence];
    const std::size_t place = first * q_size + head * d;
    AttentionHeadGradient<Real> gradient;
    gradient.dout = dout + place;
    gradient.dq = dqkv + first * width + head * d;
    gradient.dq_stride = width;
    gradient.dk = dk_all + place;
    gradient.dv = dv_all + place;
    gradient.dkv_stride = q_size;
    kernels_.attention_backward(head_of(attention, sequence, head), gradient,
                                workers_[worker].scratch.data());
  });
  // Heads that share keys and values add up, always in the same order.
  const std::size_t group = heads / attention.kv_heads;
  each_row(tokens, [&](std::size_t row) {
    for (std::size_t kv = 0; kv < attention.kv_heads; ++kv) {
      const std::size_t from = row * q_size + kv * group * d;
      Real* dk = dqkv + row * width + q_size + kv * d;
      Real* dv = dk + kv_size;
      std::copy_n(dk_all + from, d, dk);
      std::copy_n(dv_all + from, d, dv);
      for (std::size_t i = 1; i < group; ++i) {
        kernels_.add(d, dk_all + from + i * d, dk);
        kernels_.add(d, dv_all + from + i * d, dv);
      }
    }
  });
}

template <class Real>
void CpuBackend<Real>::swiglu(std::size_t rows, std::size_t width, const Real* gate_up, Real* out) {
  each_row(rows, [&](std::size_t row) {
    const Real* gate = gate_up + row * 2 * width;
    kernels_.swiglu(width, gate, gate + width, out + row * width);
  });
}

template <class Real>
void CpuBackend<Real>::swiglu_backward(std::size_t rows, std::size_t width, const Real* gate_up,
                                       const Real* dout, Real* dgate_up) {
  each_row(rows, [&](std::size_t row) {
    const Real* gate = gate_up + row * 2 * width;
    Real* dgate = dgate_up + row * 2 * width;
    kernels_.swiglu_backward(width, gate, gate + width, dout + row * width, dgate, dgate + width);
  });
}

template <class Real>
double CpuBackend<Real>::cross_entropy(std::size_t rows, std::size_t count,
                                       std::span<const TokenId> labels, double scale,
                                       Real* logits) {
  losses_.resize(rows);
  pool_.run(rows, [&](std::size_t row, std::size_t) {
    losses_[row] = kernels_.cross_entropy(count, static_cast<std::size_t>(labels[row]),
                                          static_cast<Real>(scale), logits + row * count);
  });
  double sum = 0;
  for (const double loss : losses_) sum += loss;
  return sum;
}

template <class Real>
void CpuBackend<Real>::dropout(std::size_t count, const Real* x, double probability,
                               std::uint64_t key, bool add, Real* out) {
  const auto threshold = static_cast<std::uint64_t>(std::ldexp(probability, 53));
  const Real scale = static_cast<Real>(1 / (1 - probability));
  pool_.run(pieces(count, kElementsPerTask), [&](std::size_t task, std::size_t) {
    const std::size_t end = std::min(count, (task + 1) * kElementsPerTask);
    for (std::size_t i = task * kElementsPerTask; i < end; ++i) {
      const Real kept = random_bits(key + i) >> 11 >= threshold ? x[i] * scale : Real{0};
      out[i] = add ? out[i] + kept : kept;
    }
  });
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace tuning
