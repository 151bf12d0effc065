#include "tuning/engine/network.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "tuning/engine/limits.h"

namespace tuning {
namespace {

template <class Real>
Real* at_least(std::vector<Real>& buffer, std::size_t count) {
  if (buffer.size() < count) buffer.resize(count);
  return buffer.data();
}

// The linears of a block in groups that share their input.
struct Group {
  std::size_t first;
  std::size_t count;
};
Group qkv_group(const Architecture& shape) { return {0, shape.fused ? 1u : 3u}; }
Group out_group(const Architecture& shape) { return {shape.fused ? 1u : 3u, 1}; }
Group gate_up_group(const Architecture& shape) { return shape.fused ? Group{2, 1} : Group{4, 2}; }
Group down_group(const Architecture& shape) { return {shape.fused ? 3u : 6u, 1}; }

}  // namespace

template <class Real>
Network<Real>::Network(const ModelWeights& weights, const std::vector<LoraTarget>& targets,
                       Backend<Real>& backend)
    : weights_(weights),
      shape_(weights.architecture),
      backend_(backend),
      linear_shapes_(block_linears(weights.architecture)),
      places_(shape_.layers, std::vector<Place>(linear_shapes_.size())),
      first_trained_block_(shape_.layers),
      inputs_(shape_.layers + 1),
      kept_(shape_.layers) {
  std::size_t size = 0;
  for (const LoraTarget& target : targets) {
    Place& place = places_[target.layer][target.linear];
    place.rank = target.rank;
    place.scale = static_cast<Real>(target.scale);
    place.a = size;
    place.b = size + target.rank * target.inputs;
    size = place.b + target.rank * target.outputs;
    first_trained_block_ = std::min(first_trained_block_, target.layer);
  }
  parameters_.resize(size);
  gradients_.resize(size);
}

template <class Real>
void Network<Real>::set_options(Options options) {
  options_ = options;
  for (std::size_t block = 0; block < std::min(options.first_kept_block, kept_.size()); ++block) {
    kept_[block] = {};
  }
}

template <class Real>
void Network<Real>::lay_out(const Batch& batch) {
  starts_.assign(1, 0);
  ids_.clear();
  std::size_t longest = 0;
  for (const Sequence& sequence : batch) {
    ids_.insert(ids_.end(), sequence.tokens.begin(), sequence.tokens.end());
    starts_.push_back(ids_.size());
    longest = std::max(longest, sequence.tokens.size());
  }
  tokens_ = ids_.size();
  make_rotation(longest);
}

template <class Real>
void Network<Real>::make_rotation(std::size_t longest) {
  const Rope& rope = shape_.rope;
  const bool is_long = !rope.long_factors.empty() && longest > rope.original_context_tokens;
  const std::size_t half = rope.rotated_dimensions / 2;
  if (rotation_.half == half && is_long == rotation_is_long_ &&
      rotation_.cosine.size() >= longest * half) {
    return;
  }
  rotation_is_long_ = is_long;
  rotation_.half = half;
  rotation_.cosine.resize(longest * half);
  rotation_.sine.resize(longest * half);
  const auto& factors = is_long ? rope.long_factors : rope.short_factors;
  for (std::size_t i = 0; i < half; ++i) {
    const double exponent =
        static_cast<double>(2 * i) / static_cast<double>(rope.rotated_dimensions);
    const double frequency = std::pow(rope.theta, -exponent) / (factors.empty() ? 1.0 : factors[i]);
    for (std::size_t position = 0; position < longest; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      const std::size_t place = position * half + i;
      rotation_.cosine[place] = static_cast<Real>(std::cos(angle) * rope.attention_factor);
      rotation_.sine[place] = static_cast<Real>(std::sin(angle) * rope.attention_factor);
    }
  }
}

template <class Real>
std::uint64_t Network<Real>::dropout_key(std::size_t block, std::size_t linear) const {
  // Far enough apart for the elements of one linear to be counted between two keys.
  return dropout_.key + ((block * linear_shapes_.size() + linear + 1) << 36);
}

template <class Real>
Linear<Real> Network<Real>::linear_of(std::size_t block, std::size_t index,
                                      Activations& activations) {
  const BlockWeights& weights = weights_.blocks[block];
  Linear<Real> linear;
  linear.weight = &weights.linears[index];
  if (!weights.biases[index].empty()) linear.bias = weights.biases[index].data();
  const Place& place = places_[block][index];
  if (place.rank == 0) return linear;
  linear.rank = place.rank;
  linear.scale = place.scale;
  linear.a = parameters_.data() + place.a;
  linear.b = parameters_.data() + place.b;
  linear.gradient_a = gradients_.data() + place.a;
  linear.gradient_b = gradients_.data() + place.b;
  if (activations.hidden.empty()) activations.hidden.resize(linear_shapes_.size());
  linear.hidden = at_least(activations.hidden[index], tokens_ * place.rank);
  return linear;
}

template <class Real>
bool Network<Real>::group_is_trained(std::size_t block, std::size_t first,
                                     std::size_t count) const {
  const auto& places = places_[block];
  return std::any_of(places.begin() + static_cast<std::ptrdiff_t>(first),
                     places.begin() + static_cast<std::ptrdiff_t>(first + count),
                     [](const Place& place) { return place.rank != 0; });
}

template <class Real>
void Network<Real>::run_group(std::size_t block, std::size_t first, std::size_t count,
                              const Real* x, Activations& activations, Real* y, bool accumulate) {
  std::vector<Linear<Real>> linears;
  std::size_t width = 0;
  for (std::size_t i = first; i < first + count; ++i) width += linear_shapes_[i].outputs;
  std::size_t column = 0;
  const std::size_t inputs = linear_shapes_[first].inputs;
  for (std::size_t i = first; i < first + count; ++i) {
    Linear<Real> linear = linear_of(block, i, activations);
    if (y != nullptr) linear.y = y + column;
    linear.y_stride = width;
    linear.accumulate = accumulate;
    column += linear_shapes_[i].outputs;
    if (linear.rank != 0 && dropout_.probability > 0) {
      // Each linear has its own mask; they are drawn again in the backward pass.
      Real* dropped = at_least(dropped_, 3 * tokens_ * inputs) + (i - first) * tokens_ * inputs;
      backend_.dropout(tokens_ * inputs, x, dropout_.probability, dropout_key(block, i), false,
                       dropped);
      linear.pair_input = dropped;
    }
    linears.push_back(linear);
  }
  backend_.linears(tokens_, x, linears);
}

template <class Real>
void Network<Real>::run_group_backward(std::size_t block, std::size_t first, std::size_t count,
                                       const Real* x, Activations& activations, const Real* dy,
                                       Real* dx) {
  std::vector<Linear<Real>> linears;
  std::size_t width = 0;
  for (std::size_t i = first; i < first + count; ++i) width += linear_shapes_[i].outputs;
  std::size_t column = 0;
  const std::size_t inputs = linear_shapes_[first].inputs, size = tokens_ * inputs;
  for (std::size_t i = first; i < first + count; ++i) {
    Linear<Real> linear = linear_of(block, i, activations);
    linear.dy = dy + column;
    linear.y_stride = width;
    column += linear_shapes_[i].outputs;
    if (linear.rank != 0 && dropout_.probability > 0) {
      Real* dropped = at_least(dropped_, 3 * size) + (i - first) * size;
      backend_.dropout(size, x, dropout_.probability, dropout_key(block, i), false, dropped);
      linear.pair_input = dropped;
      if (dx != nullptr) linear.pair_dx = at_least(dpair_, 3 * size) + (i - first) * size;
    }
    linears.push_back(linear);
  }
  backend_.linears_backward(tokens_, x, linears, dx);
  for (std::size_t i = 0; i < count; ++i) {
    if (linears[i].pair_dx == nullptr) continue;
    backend_.dropout(size, linears[i].pair_dx, dropout_.probability, dropout_key(block, first + i),
                     true, dx);
  }
}

template <class Real>
typename Network<Real>::Activations& Network<Real>::activations_of(std::size_t block) {
  return block >= options_.first_kept_block ? kept_[block] : shared_;
}

template <class Real>
Attention<Real> Network<Real>::attention_of(Activations& activations) const {
  Attention<Real> attention;
  attention.starts = starts_;
  attention.heads = shape_.heads;
  attention.kv_heads = shape_.kv_heads;
  attention.dimension = shape_.head_dimension;
  attention.window = shape_.sliding_window;
  attention.qkv = activations.qkv.data();
  attention.out = activations.attention.data();
  attention.log_sum = activations.log_sum.data();
  return attention;
}

template <class Real>
void Network<Real>::block_forward(std::size_t block, Activations& activations, Purpose purpose) {
  const BlockWeights& weights = weights_.blocks[block];
  const std::size_t hidden = shape_.hidden_size, size = tokens_ * hidden;
  const std::size_t qkv_width = shape_.query_size() + 2 * shape_.kv_size();
  const Real* x = inputs_[block].data();
  Real* normed = at_least(normed_, size);
  Real* inverse = at_least(inverse_, tokens_);
  backend_.rms_norm(tokens_, hidden, x, weights.attention_norm.data(), shape_.norm_epsilon, normed,
                    inverse);
  Real* qkv = at_least(activations.qkv, tokens_ * qkv_width);
  const Group projections = qkv_group(shape_);
  run_group(block, projections.first, projections.count, normed, activations, qkv, false);
  using Turn = typename Backend<Real>::Turn;
  backend_.rotate(rotation_, starts_, shape_.heads + shape_.kv_heads, shape_.head_dimension,
                  qkv_width, Turn::Forward, qkv);
  at_least(activations.attention, tokens_ * shape_.query_size());
  at_least(activations.log_sum, tokens_ * shape_.heads);
  backend_.attention(attention_of(activations));
  Real* middle = at_least(activations.middle, size);
  std::copy_n(x, size, middle);
  run_group(block, out_group(shape_).first, 1, activations.attention.data(), activations, middle,
            true);

  backend_.rms_norm(tokens_, hidden, middle, weights.mlp_norm.data(), shape_.norm_epsilon, normed,
                    inverse);
  Real* gate_up = at_least(activations.gate_up, tokens_ * 2 * shape_.intermediate_size);
  const Group gates = gate_up_group(shape_);
  run_group(block, gates.first, gates.count, normed, activations, gate_up, false);
  const std::size_t down = down_group(shape_).first;
  if (purpose == Purpose::Again && places_[block][down].rank == 0) return;
  Real* activated = at_least(activated_, tokens_ * shape_.intermediate_size);
  backend_.swiglu(tokens_, shape_.intermediate_size, gate_up, activated);
  Real* out = nullptr;
  if (purpose == Purpose::Full) {
    out = at_least(inputs_[block + 1], size);
    std::copy_n(middle, size, out);
  }
  run_group(block, down, 1, activated, activations, out, true);
}

template <class Real>
void Network<Real>::attention_backward(std::size_t block, Activations& activations, Real* dx) {
  const BlockWeights& weights = weights_.blocks[block];
  const std::size_t hidden = shape_.hidden_size, size = tokens_ * hidden;
  const std::size_t qkv_width = shape_.query_size() + 2 * shape_.kv_size();
  Real* dattention = at_least(dattention_, tokens_ * shape_.query_size());
  run_group_backward(block, out_group(shape_).first, 1, activations.attention.data(), activations,
                     dx, dattention);
  Real* dqkv = at_least(dqkv_, tokens_ * qkv_width);
  backend_.attention_backward(attention_of(activations), dattention, dqkv);
  using Turn = typename Backend<Real>::Turn;
  backend_.rotate(rotation_, starts_, shape_.heads + shape_.kv_heads, shape_.head_dimension,
                  qkv_width, Turn::Back, dqkv);
  const Real* x = inputs_[block].data();
  Real* normed = at_least(normed_, size);
  Real* inverse = at_least(inverse_, tokens_);
  backend_.rms_norm(tokens_, hidden, x, weights.attention_norm.data(), shape_.norm_epsilon, normed,
                    inverse);
  const Group projections = qkv_group(shape_);
  const bool lowest = block == first_trained_block_;
  Real* dnormed = lowest ? nullptr : at_least(dnormed_, size);
  run_group_backward(block, projections.first, projections.count, normed, activations, dqkv,
                     dnormed);
  if (lowest) return;
  backend_.rms_norm_backward(tokens_, hidden, x, weights.attention_norm.data(), inverse, dnormed,
                             dx);
}

/// dx: the gradient of the block's output, turned into that of its input.
template <class Real>
void Network<Real>::block_backward(std::size_t block, Activations& activations, Real* dx) {
  const BlockWeights& weights = weights_.blocks[block];
  const std::size_t hidden = shape_.hidden_size, size = tokens_ * hidden;
  const std::size_t inner = shape_.intermediate_size;
  Real* activated = at_least(activated_, tokens_ * inner);
  backend_.swiglu(tokens_, inner, activations.gate_up.data(), activated);
  Real* dactivated = at_least(dactivated_, tokens_ * inner);
  run_group_backward(block, down_group(shape_).first, 1, activated, activations, dx, dactivated);
  Real* dgate_up = at_least(dgate_up_, tokens_ * 2 * inner);
  backend_.swiglu_backward(tokens_, inner, activations.gate_up.data(), dactivated, dgate_up);
  const Real* middle = activations.middle.data();
  Real* normed = at_least(normed_, size);
  Real* inverse = at_least(inverse_, tokens_);
  backend_.rms_norm(tokens_, hidden, middle, weights.mlp_norm.data(), shape_.norm_epsilon, normed,
                    inverse);
  Real* dnormed = at_least(dnormed_, size);
  const Group gates = gate_up_group(shape_);
  run_group_backward(block, gates.first, gates.count, normed, activations, dgate_up, dnormed);
  backend_.rms_norm_backward(tokens_, hidden, middle, weights.mlp_norm.data(), inverse, dnormed,
                             dx);
  const std::size_t attention_linears = gates.first;
  if (block == first_trained_block_ && !group_is_trained(block, 0, attention_linears)) return;
  attention_backward(block, activations, dx);
}

template <class Real>
base::Status Network<Real>::forward(const base::Context& ctx, const Batch& batch, bool keep_all) {
  lay_out(batch);
  backend_.embed(weights_.embedding, ids_, at_least(inputs_[0], tokens_ * shape_.hidden_size));
  for (std::size_t block = 0; block < shape_.layers; ++block) {
    TRY(ctx.check());
    Activations& activations = keep_all ? activations_of(block) : shared_;
    block_forward(block, activations, Purpose::Full);
    // Without a backward pass the memory of the input serves again.
    if (!keep_all && block + 2 <= shape_.layers &&
        inputs_[block + 2].size() < inputs_[block].size()) {
      std::swap(inputs_[block], inputs_[block + 2]);
    }
  }
  return {};
}

template <class Real>
double Network<Real>::head_loss(const Batch& batch, double loss_scale, Real* dx) {
  // Only positions whose next token has a label reach the head.
  std::vector<std::size_t> rows;
  std::vector<TokenId> labels;
  for (std::size_t s = 0; s < batch.size(); ++s) {
    for (std::size_t i = 1; i < batch[s].labels.size(); ++i) {
      if (batch[s].labels[i] == kIgnoredLabel) continue;
      rows.push_back(starts_[s] + i - 1);
      labels.push_back(batch[s].labels[i]);
    }
  }
  const std::size_t hidden = shape_.hidden_size, vocabulary = shape_.vocabulary_size;
  const Real* x = inputs_[shape_.layers].data();
  std::vector<Real> chosen(rows.size() * hidden), dchosen(dx != nullptr ? chosen.size() : 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(x + rows[i] * hidden, hidden, chosen.data() + i * hidden);
  }
  const std::size_t step = std::min(loss_chunk_rows(vocabulary), rows.size());
  Real* normed = at_least(normed_, step * hidden);
  Real* dnormed = at_least(dnormed_, step * hidden);
  Real* inverse = at_least(inverse_, step);
  Real* logits = at_least(logits_, step * vocabulary);
  double sum = 0;
  for (std::size_t first = 0; first < rows.size(); first += step) {
    const std::size_t count = std::min(step, rows.size() - first);
    const Real* piece = chosen.data() + first * hidden;
    backend_.rms_norm(count, hidden, piece, weights_.final_norm.data(), shape_.norm_epsilon, normed,
                      inverse);
    Linear<Real> head;
    head.weight = &weights_.head_matrix();
    head.y = logits;
    head.y_stride = vocabulary;
    backend_.linears(count, normed, {&head, 1});
    sum += backend_.cross_entropy(count, vocabulary, std::span(labels).subspan(first, count),
                                  loss_scale, logits);
    if (dx == nullptr) continue;
    head.dy = logits;
    backend_.linears_backward(count, normed, {&head, 1}, dnormed);
    backend_.rms_norm_backward(count, hidden, piece, weights_.final_norm.data(), inverse, dnormed,
                               dchosen.data() + first * hidden);
  }
  if (dx == nullptr) return sum;
  std::fill_n(dx, tokens_ * hidden, Real{0});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(dchosen.data() + i * hidden, hidden, dx + rows[i] * hidden);
  }
  return sum;
}

template <class Real>
base::Result<double> Network<Real>::forward_backward(const base::Context& ctx, const Batch& batch,
                                                     double loss_scale,
                                                     const DropoutPlan& dropout) {
  dropout_ = dropout;
  TRY(forward(ctx, batch, true));
  std::vector<Real> dx(tokens_ * shape_.hidden_size);
  const double sum = head_loss(batch, loss_scale, dx.data());
  for (std::size_t block = shape_.layers; block-- > first_trained_block_;) {
    TRY(ctx.check());
    Activations& activations = activations_of(block);
    // The shared activations are those of the last block that used them.
    const bool stale = block < options_.first_kept_block && block + 1 != options_.first_kept_block;
    if (stale) block_forward(block, activations, Purpose::Again);
    block_backward(block, activations, dx.data());
  }
  return sum;
}

template <class Real>
base::Result<double> Network<Real>::loss(const base::Context& ctx, const Batch& batch) {
  dropout_ = {};
  TRY(forward(ctx, batch, false));
  return head_loss(batch, 1, nullptr);
}

template <class Real>
base::Result<std::vector<Real>> Network<Real>::last_logits(const base::Context& ctx,
                                                           const Batch& batch) {
  dropout_ = {};
  TRY(forward(ctx, batch, false));
  const std::size_t hidden = shape_.hidden_size, vocabulary = shape_.vocabulary_size;
  std::vector<Real> chosen(batch.size() * hidden), inverse(batch.size());
  for (std::size_t s = 0; s < batch.size(); ++s) {
    std::copy_n(inputs_[shape_.layers].data() + (starts_[s + 1] - 1) * hidden, hidden,
                chosen.data() + s * hidden);
  }
  std::vector<Real> normed(chosen.size()), logits(batch.size() * vocabulary);
  backend_.rms_norm(batch.size(), hidden, chosen.data(), weights_.final_norm.data(),
                    shape_.norm_epsilon, normed.data(), inverse.data());
  Linear<Real> head;
  head.weight = &weights_.head_matrix();
  head.y = logits.data();
  head.y_stride = vocabulary;
  backend_.linears(batch.size(), normed.data(), {&head, 1});
  return logits;
}

template class Network<float>;
template class Network<double>;

}  // namespace tuning
