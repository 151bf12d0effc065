// The part of CpuBackend that multiplies with frozen matrices and their pairs.
#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "tuning/backend/cpu/cpu_backend.h"

namespace tuning {
namespace {

/// Rows of B's gradient that one task computes.
constexpr std::size_t kOutputsPerTask = 64;
/// Tasks a thread should find, so that an uneven end costs little.
constexpr std::size_t kTasksPerThread = 4;

std::size_t pieces(std::size_t count, std::size_t size) { return (count + size - 1) / size; }

std::size_t round_up(std::size_t value, std::size_t step) { return pieces(value, step) * step; }

/// Depths of nearly equal size, multiples of 32, at most kPanelDepth.
std::size_t depth_step(std::size_t depth) {
  constexpr std::size_t kGrain = 32;
  return std::min(kPanelDepth, round_up(pieces(depth, pieces(depth, kPanelDepth)), kGrain));
}

}  // namespace

/// A panel of columns of a product's result, over some of its rows.
template <class Real>
struct CpuBackend<Real>::Panel {
  std::size_t first_column = 0;
  std::size_t columns = 0;
  std::size_t width = 0;  ///< `columns`, rounded up to whole vectors.
  std::size_t first_panel = 0;
  std::size_t last_panel = 0;  ///< Past the end.
  std::size_t rows = 0;        ///< Of the whole result.
  Real* c = nullptr;           ///< The whole result.
  std::size_t c_stride = 0;
  bool accumulate = false;
};

template <class Real>
void CpuBackend<Real>::prepare(Packed& packed, std::size_t rows, std::size_t depth) const {
  packed.panels = pieces(rows, kernels_.tile_rows);
  packed.panel_bytes =
      round_up(depth, kernels_.depth_step) * kernels_.tile_rows * kernels_.element_bytes;
  packed.buffer.ensure(packed.panels * packed.panel_bytes);
}

template <class Real>
void CpuBackend<Real>::pack(Packed& packed, const Real* x, std::size_t stride, std::size_t rows,
                            std::size_t depth) {
  prepare(packed, rows, depth);
  const std::size_t step = kernels_.tile_rows;
  const std::size_t group = std::max<std::size_t>(1, 16 / step);
  pool_.run(pieces(packed.panels, group), [&](std::size_t task, std::size_t) {
    const std::size_t end = std::min(packed.panels, (task + 1) * group);
    for (std::size_t panel = task * group; panel < end; ++panel) {
      const std::size_t row = panel * step;
      kernels_.pack_left(x + row * stride, stride, std::min(step, rows - row), depth, 1,
                         packed.buffer.data() + panel * packed.panel_bytes);
    }
  });
}

/// out [rows, rank] = scale * left right, and the same packed.
template <class Real>
void CpuBackend<Real>::project(const Packed& left, std::size_t rows, std::size_t depth,
                               const Real* right, std::size_t depth_stride,
                               std::size_t column_stride, std::size_t rank, Real scale, Real* out,
                               Packed& packed_out) {
  prepare(packed_out, rows, rank);
  const std::size_t group = pieces(left.panels, pool_.threads() * 2);
  pool_.run(pieces(left.panels, group), [&](std::size_t task, std::size_t worker) {
    Panel panel;
    panel.first_panel = task * group;
    panel.last_panel = std::min(left.panels, panel.first_panel + group);
    panel.rows = rows;
    panel.c = out;
    panel.c_stride = rank;
    for (std::size_t first = 0; first < rank; first += kernels_.tile_columns) {
      panel.first_column = first;
      panel.columns = std::min(kernels_.tile_columns, rank - first);
      panel.width = round_up(panel.columns, kernels_.vector_width);
      panel.accumulate = false;
      plain_product(panel, left, right + first * column_stride, depth_stride, column_stride, depth,
                    workers_[worker]);
    }
    const std::size_t begin = panel.first_panel * kernels_.tile_rows;
    const std::size_t end = std::min(rows, panel.last_panel * kernels_.tile_rows);
    for (std::size_t i = begin * rank; i < end * rank; ++i) out[i] *= scale;
    for (std::size_t p = panel.first_panel; p < panel.last_panel; ++p) {
      const std::size_t row = p * kernels_.tile_rows;
      kernels_.pack_left(out + row * rank, rank, std::min(kernels_.tile_rows, rows - row), rank, 1,
                         packed_out.buffer.data() + p * packed_out.panel_bytes);
    }
  });
}

template <class Real>
void CpuBackend<Real>::tiles(const Panel& panel, const Packed& left, std::size_t depth0,
                             std::size_t depth, bool accumulate, Worker& worker) const {
  for (std::size_t p = panel.first_panel; p < panel.last_panel; ++p) {
    const std::size_t row = p * kernels_.tile_rows;
    const std::byte* a = left.buffer.data() + p * left.panel_bytes +
                         depth0 * kernels_.tile_rows * kernels_.element_bytes;
    kernels_.tile(a, worker.panel.data(), panel.width, depth,
                  panel.c + row * panel.c_stride + panel.first_column, panel.c_stride,
                  std::min(kernels_.tile_rows, panel.rows - row), panel.columns, accumulate);
  }
}

template <class Real>
void CpuBackend<Real>::frozen_product(const Panel& panel, const Packed& left,
                                      const FrozenMatrix& matrix, Orientation orientation,
                                      Worker& worker) const {
  const std::size_t depth = orientation == Orientation::Rows ? matrix.columns() : matrix.rows();
  const std::size_t step = depth_step(depth);
  for (std::size_t first = 0; first < depth; first += step) {
    const std::size_t count = std::min(step, depth - first);
    kernels_.pack_frozen(matrix, orientation, panel.first_column, panel.width, first, count,
                         worker.scratch.data(), worker.panel.data());
    tiles(panel, left, first, count, panel.accumulate || first > 0, worker);
  }
}

template <class Real>
void CpuBackend<Real>::plain_product(const Panel& panel, const Packed& left, const Real* right,
                                     std::size_t depth_stride, std::size_t column_stride,
                                     std::size_t depth, Worker& worker) const {
  const std::size_t step = depth_step(depth);
  for (std::size_t first = 0; first < depth; first += step) {
    const std::size_t count = std::min(step, depth - first);
    kernels_.pack_plain(right + first * depth_stride, depth_stride, column_stride, panel.columns,
                        panel.width, count, worker.panel.data());
    tiles(panel, left, first, count, panel.accumulate || first > 0, worker);
  }
}

/// How many panels of rows a task takes: all, unless there are too few panels of columns for all
/// threads to find work.
template <class Real>
std::size_t CpuBackend<Real>::panels_per_task(std::size_t row_panels,
                                              std::size_t column_panels) const {
  if (pool_.threads() == 1) return row_panels;
  const std::size_t splits = std::clamp<std::size_t>(
      pieces(pool_.threads() * kTasksPerThread, column_panels), 1, pieces(row_panels, 4));
  return pieces(row_panels, splits);
}

template <class Real>
void CpuBackend<Real>::forward_panel(const Linear<Real>& linear, const Packed& input,
                                     const Packed& hidden, Panel panel, Worker& worker) const {
  panel.c = linear.y;
  panel.c_stride = linear.y_stride;
  panel.accumulate = linear.accumulate;
  frozen_product(panel, input, *linear.weight, Orientation::Rows, worker);
  panel.accumulate = true;
  if (linear.rank != 0) {
    plain_product(panel, hidden, linear.b + panel.first_column * linear.rank, 1, linear.rank,
                  linear.rank, worker);
  }
  if (linear.bias == nullptr) return;
  const std::size_t end = std::min(panel.rows, panel.last_panel * kernels_.tile_rows);
  for (std::size_t row = panel.first_panel * kernels_.tile_rows; row < end; ++row) {
    Real* y = linear.y + row * linear.y_stride + panel.first_column;
    for (std::size_t i = 0; i < panel.columns; ++i) {
      y[i] += static_cast<Real>(linear.bias[panel.first_column + i]);
    }
  }
}

template <class Real>
void CpuBackend<Real>::linears(std::size_t rows, const Real* x,
                               std::span<const Linear<Real>> linears) {
  const std::size_t inputs = linears.front().weight->columns();
  if (operands_.size() < linears.size()) operands_.resize(linears.size());
  pack(input_, x, inputs, rows, inputs);
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const Linear<Real>& linear = linears[i];
    if (linear.rank == 0) continue;
    const Packed* from = &input_;
    if (linear.pair_input != nullptr) {
      pack(operands_[i].input, linear.pair_input, inputs, rows, inputs);
      from = &operands_[i].input;
    }
    project(*from, rows, inputs, linear.a, 1, inputs, linear.rank, linear.scale, linear.hidden,
            operands_[i].hidden);
  }
  struct Task {
    std::size_t linear;
    Panel panel;
  };
  std::vector<Task> tasks;
  std::size_t panels = 0;
  for (const auto& linear : linears) {
    if (linear.y != nullptr) panels += pieces(linear.weight->rows(), kernels_.tile_columns);
  }
  if (panels == 0) return;
  const std::size_t group = panels_per_task(input_.panels, panels);
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (linears[i].y == nullptr) continue;
    const std::size_t outputs = linears[i].weight->rows();
    for (std::size_t first = 0; first < outputs; first += kernels_.tile_columns) {
      for (std::size_t p = 0; p < input_.panels; p += group) {
        Panel panel;
        panel.first_column = first;
        panel.columns = std::min(kernels_.tile_columns, outputs - first);
        panel.width = round_up(panel.columns, kernels_.vector_width);
        panel.first_panel = p;
        panel.last_panel = std::min(input_.panels, p + group);
        panel.rows = rows;
        tasks.push_back({i, panel});
      }
    }
  }
  pool_.run(tasks.size(), [&](std::size_t index, std::size_t worker) {
    const Task& task = tasks[index];
    forward_panel(linears[task.linear], input_, operands_[task.linear].hidden, task.panel,
                  workers_[worker]);
  });
}

template <class Real>
void CpuBackend<Real>::input_gradient_panel(std::span<const Linear<Real>> linears, Panel panel,
                                            Worker& worker) {
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const Linear<Real>& linear = linears[i];
    frozen_product(panel, operands_[i].input, *linear.weight, Orientation::Columns, worker);
    panel.accumulate = true;
    if (linear.rank == 0 || linear.pair_dx != nullptr) continue;
    plain_product(panel, operands_[i].hidden, linear.a + panel.first_column,
                  linear.weight->columns(), 1, linear.rank, worker);
  }
}

template <class Real>
void CpuBackend<Real>::gradient_of_b(const Linear<Real>& linear, std::size_t rows,
                                     std::size_t part) const {
  const std::size_t first = part * kOutputsPerTask;
  Product<Real> product;
  product.rows = std::min(kOutputsPerTask, linear.weight->rows() - first);
  product.columns = linear.rank;
  product.depth = rows;
  product.a = linear.dy + first;
  product.a_row = 1;
  product.a_depth = linear.y_stride;
  product.b = linear.hidden;
  product.b_stride = linear.rank;
  product.c = linear.gradient_b + first * linear.rank;
  product.c_stride = linear.rank;
  product.accumulate = true;
  kernels_.multiply(product);
}

template <class Real>
void CpuBackend<Real>::gradient_of_a(const Linear<Real>& linear, std::size_t rows, const Real* x,
                                     const Operands& operands, std::size_t part) const {
  const std::size_t inputs = linear.weight->columns();
  const std::size_t first = part * kernels_.tile_columns;
  Product<Real> product;
  product.rows = linear.rank;
  product.columns = std::min(kernels_.tile_columns, inputs - first);
  product.depth = rows;
  product.a = operands.gradient.data();
  product.a_row = 1;
  product.a_depth = linear.rank;
  product.b = (linear.pair_input != nullptr ? linear.pair_input : x) + first;
  product.b_stride = inputs;
  product.c = linear.gradient_a + first;
  product.c_stride = inputs;
  product.accumulate = true;
  kernels_.multiply(product);
}

template <class Real>
void CpuBackend<Real>::linears_backward(std::size_t rows, const Real* x,
                                        std::span<const Linear<Real>> linears, Real* dx) {
  const std::size_t inputs = linears.front().weight->columns();
  if (operands_.size() < linears.size()) operands_.resize(linears.size());
  struct Task {
    enum class Kind { Input, PairInput, A, B } kind;
    std::size_t linear;
    std::size_t part;
    std::size_t first_panel = 0;
  };
  std::vector<Task> tasks;
  const std::size_t column_panels = pieces(inputs, kernels_.tile_columns);
  const std::size_t row_panels = pieces(rows, kernels_.tile_rows);
  const std::size_t group = panels_per_task(row_panels, column_panels);
  for (std::size_t part = 0; dx != nullptr && part < column_panels; ++part) {
    for (std::size_t first = 0; first < row_panels; first += group) {
      tasks.push_back({Task::Kind::Input, 0, part, first});
    }
  }
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const Linear<Real>& linear = linears[i];
    const std::size_t outputs = linear.weight->rows();
    pack(operands_[i].input, linear.dy, linear.y_stride, rows, outputs);
    if (linear.rank == 0) continue;
    auto& gradient = operands_[i].gradient;
    if (gradient.size() < rows * linear.rank) gradient.resize(rows * linear.rank);
    project(operands_[i].input, rows, outputs, linear.b, linear.rank, 1, linear.rank, linear.scale,
            gradient.data(), operands_[i].hidden);
    for (std::size_t part = 0; part < column_panels; ++part) {
      tasks.push_back({Task::Kind::A, i, part});
      if (linear.pair_dx != nullptr) tasks.push_back({Task::Kind::PairInput, i, part});
    }
    for (std::size_t part = 0; part < pieces(outputs, kOutputsPerTask); ++part) {
      tasks.push_back({Task::Kind::B, i, part});
    }
  }
  pool_.run(tasks.size(), [&](std::size_t index, std::size_t worker) {
    const Task& task = tasks[index];
    const Linear<Real>& linear = linears[task.linear];
    if (task.kind == Task::Kind::A) {
      return gradient_of_a(linear, rows, x, operands_[task.linear], task.part);
    }
    if (task.kind == Task::Kind::B) return gradient_of_b(linear, rows, task.part);
    Panel panel;
    panel.first_column = task.part * kernels_.tile_columns;
    panel.columns = std::min(kernels_.tile_columns, inputs - panel.first_column);
    panel.width = round_up(panel.columns, kernels_.vector_width);
    panel.last_panel = row_panels;
    panel.rows = rows;
    panel.c_stride = inputs;
    if (task.kind == Task::Kind::Input) {
      panel.first_panel = task.first_panel;
      panel.last_panel = std::min(row_panels, task.first_panel + group);
      panel.c = dx;
      return input_gradient_panel(linears, panel, workers_[worker]);
    }
    panel.c = linear.pair_dx;
    plain_product(panel, operands_[task.linear].hidden, linear.a + panel.first_column, inputs, 1,
                  linear.rank, workers_[worker]);
  });
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace tuning
