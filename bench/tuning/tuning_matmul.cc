// Times the products of a frozen linear, y = x W^T and dx = dy W, of each kind of kernels, and of
// oneDNN and OpenBLAS where they were found; as a part of the processor's peak, which is measured
// by the same kernels' inner loop on operands that stay in the first cache.
//   tuning_matmul [ROWS INPUTS OUTPUTS] [THREADS]
#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "model/safetensors/data_type.h"
#include "tuning/backend/cpu/cpu_backend.h"

#ifdef KAITO_BENCH_DNNL
#include <dnnl.hpp>
#endif
#ifdef KAITO_BENCH_OPENBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int threads);
#endif

namespace {

using namespace tuning;
using Clock = std::chrono::steady_clock;

constexpr double kSecondsPerCase = 0.4;

/// Processor time of this process, all threads together: what neighbours on the cores take does not
/// count.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::size_t threads = 1;

/// The best time of one call: processor time by the number of threads.
double best_seconds(const std::function<void()>& call) {
  call();
  double best = 1e30;
  const auto start = Clock::now();
  while (std::chrono::duration<double>(Clock::now() - start).count() < kSecondsPerCase) {
    const double begin = processor_seconds();
    call();
    best = std::min(best, (processor_seconds() - begin) / static_cast<double>(threads));
  }
  return best;
}

struct Shape {
  std::size_t rows, inputs, outputs;
  double operations() const { return 2.0 * static_cast<double>(rows * inputs * outputs); }
};

struct Data {
  std::vector<float> x, w, dy;
  explicit Data(const Shape& shape) {
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& values, std::size_t count) {
      values.resize(count);
      for (float& value : values) value = normal(generator);
    };
    fill(x, shape.rows * shape.inputs);
    fill(w, shape.inputs * shape.outputs);
    fill(dy, shape.rows * shape.outputs);
  }
};

void row(const char* name, const Shape& shape, double forward, double backward, double peak) {
  const double f = shape.operations() / forward * 1e-9, b = shape.operations() / backward * 1e-9;
  fmt::print("| {:<28} | {:7.1f} | {:7.1f} |", name, f, b);
  if (peak > 0) fmt::print(" {:3.0f} % | {:3.0f} % |\n", 100 * f / peak, 100 * b / peak);
  if (peak <= 0) fmt::print("  |  |\n");
}

/// GFLOP/s of the inner loop alone, all threads at once.
double peak_of(const KernelTable<float>& kernels, ThreadPool& pool) {
  constexpr std::size_t kDepth = 128, kRounds = 2000;
  std::vector<AlignedBuffer> operands;
  for (std::size_t i = 0; i < 3 * threads; ++i) operands.emplace_back(kDepth * 64 * sizeof(float));
  const double seconds = best_seconds([&] {
    pool.run(threads, [&](std::size_t task, std::size_t) {
      auto* c = operands[3 * task + 2].as<float>();
      for (std::size_t i = 0; i < kRounds; ++i) {
        kernels.tile(operands[3 * task].data(), operands[3 * task + 1].data(), kernels.tile_columns,
                     kDepth, c, kernels.tile_columns, kernels.tile_rows, kernels.tile_columns,
                     false);
      }
    });
  });
  return 2e-9 *
         static_cast<double>(kRounds * threads * kDepth * kernels.tile_rows *
                             kernels.tile_columns) /
         seconds;
}

void ours(const Shape& shape, const Data& data, ThreadPool& pool) {
  for (const KernelSet set : {KernelSet::Avx2, KernelSet::Avx512, KernelSet::Avx512Bf16}) {
    if (!supports(set)) continue;
    const auto& kernels = set == KernelSet::Avx2     ? avx2_kernels()
                          : set == KernelSet::Avx512 ? avx512_kernels()
                                                     : avx512_bf16_kernels();
    const double peak = peak_of(kernels, pool);
    fmt::print("{}: peak {:.0f} GFLOP/s\n", name_of(set), peak);
    CpuBackend<float> backend(kernels, pool);
    for (const WeightFormat format :
         {WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8, WeightFormat::Nf4}) {
      const auto matrix =
          FrozenMatrix::from_values(data.w, shape.outputs, shape.inputs, {format, true});
      std::vector<float> y(data.dy.size()), dx(data.x.size());
      Linear<float> linear;
      linear.weight = &matrix;
      linear.y = y.data();
      linear.y_stride = shape.outputs;
      linear.dy = data.dy.data();
      const double forward =
          best_seconds([&] { backend.linears(shape.rows, data.x.data(), {&linear, 1}); });
      const double backward = best_seconds(
          [&] { backend.linears_backward(shape.rows, data.x.data(), {&linear, 1}, dx.data()); });
      row(fmt::format("{}, weights {}", name_of(set), name_of(format)).c_str(), shape, forward,
          backward, peak);
    }
  }
}

#ifdef KAITO_BENCH_DNNL
class Dnnl {
 public:
  /// C [m, n] = A [m, k] B; B is stored [n, k] when `transposed`.
  std::function<void()> product(dnnl::memory::data_type type, const void* a, const void* b,
                                float* c, std::array<std::size_t, 3> mkn, bool transposed) {
    using dnnl::memory;
    const auto m = static_cast<memory::dim>(mkn[0]), k = static_cast<memory::dim>(mkn[1]),
               n = static_cast<memory::dim>(mkn[2]);
    const memory::desc left({m, k}, type, memory::format_tag::ab);
    const memory::desc right({k, n}, type,
                             transposed ? memory::format_tag::ba : memory::format_tag::ab);
    const memory::desc result({m, n}, memory::data_type::f32, memory::format_tag::ab);
    const dnnl::matmul::desc description(left, right, result);
    const dnnl::matmul matmul(dnnl::matmul::primitive_desc(description, engine_));
    const memory ma(left, engine_, const_cast<void*>(a)), mb(right, engine_, const_cast<void*>(b)),
        mc(result, engine_, c);
    return [this, matmul, ma, mb, mc] {
      matmul.execute(stream_, {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}});
      stream_.wait();
    };
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
};

std::vector<std::uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float value : values) result.push_back(model::bfloat16_from_float(value));
  return result;
}

void dnnl_rows(const Shape& s, const Data& data) {
  Dnnl dnnl;
  std::vector<float> y(data.dy.size()), dx(data.x.size());
  using type = dnnl::memory::data_type;
  row("oneDNN f32", s,
      best_seconds(dnnl.product(type::f32, data.x.data(), data.w.data(), y.data(),
                                {s.rows, s.inputs, s.outputs}, true)),
      best_seconds(dnnl.product(type::f32, data.dy.data(), data.w.data(), dx.data(),
                                {s.rows, s.outputs, s.inputs}, false)),
      0);
  const auto x = to_bf16(data.x), w = to_bf16(data.w), dy = to_bf16(data.dy);
  row("oneDNN bf16, operands in bf16", s,
      best_seconds(dnnl.product(type::bf16, x.data(), w.data(), y.data(),
                                {s.rows, s.inputs, s.outputs}, true)),
      best_seconds(dnnl.product(type::bf16, dy.data(), w.data(), dx.data(),
                                {s.rows, s.outputs, s.inputs}, false)),
      0);
}
#endif

#ifdef KAITO_BENCH_OPENBLAS
void openblas_row(const Shape& s, const Data& data) {
  openblas_set_num_threads(static_cast<int>(threads));
  std::vector<float> y(data.dy.size()), dx(data.x.size());
  const auto m = static_cast<blasint>(s.rows), k = static_cast<blasint>(s.inputs),
             n = static_cast<blasint>(s.outputs);
  row("OpenBLAS f32", s, best_seconds([&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, data.x.data(), k,
                    data.w.data(), k, 0, y.data(), n);
      }),
      best_seconds([&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, data.dy.data(), n,
                    data.w.data(), k, 0, dx.data(), k);
      }),
      0);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::stoul(argv[i])) : otherwise;
  };
  threads = argument(4, ThreadPool::usable_processors());
  std::vector<Shape> shapes = {{208, 576, 576}, {1024, 576, 1536}, {512, 3072, 3072}};
  if (argc > 3) shapes = {{argument(1, 0), argument(2, 0), argument(3, 0)}};
  ThreadPool pool(threads);
  for (const Shape& shape : shapes) {
    fmt::print(
        "\n{} rows, {} -> {}, {} threads; GFLOP/s of y = x W^T, of dx = dy W, parts of the "
        "peak\n",
        shape.rows, shape.inputs, shape.outputs, threads);
    const Data data(shape);
    ours(shape, data, pool);
#ifdef KAITO_BENCH_DNNL
    dnnl_rows(shape, data);
#endif
#ifdef KAITO_BENCH_OPENBLAS
    openblas_row(shape, data);
#endif
  }
}
