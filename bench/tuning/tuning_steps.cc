// Times training steps on random tokens: tokens per second and peak memory.
//   tuning_steps MODEL [--sequence 256] [--batch 1] [--steps 5] [--format nf4|fp4|int8|bf16|f32]
//                      [--kernels auto|scalar|avx2|avx512|avx512_bf16] [--threads 0] [--rank 8]
//                      [--targets q_proj,v_proj|all-linear] [--recompute auto|off|on]
//                      [--budget_mib 256]
// All labels count, as in the peers' benchmark (baselines of PEFT: see bench/results/tuning.md).
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "tuning/engine/trainer.h"

namespace {

using namespace tuning;

std::map<std::string, std::string> parse(int argc, char** argv) {
  std::map<std::string, std::string> options = {
      {"sequence", "256"},   {"batch", "1"},        {"steps", "5"}, {"format", "nf4"},
      {"kernels", "auto"},   {"threads", "0"},      {"rank", "8"},  {"targets", "q_proj,v_proj"},
      {"recompute", "auto"}, {"budget_mib", "256"}};
  for (int i = 2; i + 1 < argc; i += 2) options[std::string(argv[i]).substr(2)] = argv[i + 1];
  return options;
}

template <class T>
T named(const std::string& name, std::initializer_list<T> values) {
  for (const T value : values) {
    if (name_of(value) == name) return value;
  }
  fmt::print(stderr, "unknown: {}\n", name);
  std::exit(2);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> result;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    result.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return result;
}

std::size_t peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) / 1024;
}

/// Of this process, all threads together.
double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: tuning_steps MODEL [--option value]...\n");
    return 2;
  }
  auto options = parse(argc, argv);
  const auto number = [&](const char* name) {
    return static_cast<std::size_t>(std::stoul(options[name]));
  };
  const auto format =
      named(options["format"], {WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8,
                                WeightFormat::Fp4, WeightFormat::Nf4});
  const auto kernels =
      named(options["kernels"], {KernelSet::Auto, KernelSet::Scalar, KernelSet::Avx2,
                                 KernelSet::Avx512, KernelSet::Avx512Bf16});
  const auto recompute = options["recompute"] == "on"    ? Recompute::PerBlock
                         : options["recompute"] == "off" ? Recompute::Off
                                                         : Recompute::Auto;
  const auto model = BaseModel::load(base::Context(), argv[1], {.linear_format = format});
  if (!model) {
    fmt::print(stderr, "{}\n", model.error().message());
    return 1;
  }
  auto trainer = Trainer::create(
      *model, {.rank = number("rank"), .alpha = 8, .target_modules = split(options["targets"])},
      {.learning_rate = 1e-4, .total_steps = 1000},
      {.threads = number("threads"),
       .kernels = kernels,
       .recompute = recompute,
       .activation_budget_bytes = std::uint64_t{number("budget_mib")} << 20});
  if (!trainer) {
    fmt::print(stderr, "{}\n", trainer.error().message());
    return 1;
  }
  std::mt19937 generator(1);
  std::uniform_int_distribution<TokenId> token(
      0, static_cast<TokenId>(model->architecture().vocabulary_size) - 1);
  Batch batch(number("batch"));
  for (Sequence& sequence : batch) {
    sequence.tokens.resize(number("sequence"));
    for (TokenId& id : sequence.tokens) id = token(generator);
    sequence.labels = sequence.tokens;
  }
  double best = 1e30, sum = 0;
  const double before = processor_seconds();
  StepStats stats;
  for (std::size_t i = 0; i < number("steps"); ++i) {
    stats = trainer->step(base::Context(), {&batch, 1}).value();
    best = std::min(best, stats.seconds);
    sum += stats.seconds;
  }
  const auto tokens = static_cast<double>(stats.tokens);
  const double all_tokens = tokens * static_cast<double>(number("steps"));
  const double spent = processor_seconds() - before;
  fmt::print(
      "{} {} {}x{} {} {} threads {}: best {:.1f} tok/s, mean {:.1f}, "
      "per processor second {:.1f}, peak {} MiB\n",
      options["format"], name_of(trainer->kernels()), options["sequence"], options["batch"],
      options["targets"], trainer->threads(), trainer->trainable_parameters(), tokens / best,
      all_tokens / sum, all_tokens / spent, peak_mib());
}
