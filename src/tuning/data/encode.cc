#include "tuning/data/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using model::TokenId;
using Tokens = std::vector<TokenId>;
using AnswerPrompt = model::ChatTemplate::AnswerPrompt;

/// Rows between two looks at the context.
constexpr std::size_t kRowsPerCheck = 256;

/// How many tokens both begin with.
std::size_t common_prefix(const Tokens& a, const Tokens& b) {
  const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end - a.begin());
}

void ignore(Sequence& sequence, std::size_t begin, std::size_t end) {
  end = std::min(end, sequence.labels.size());
  for (std::size_t i = begin; i < end; ++i) sequence.labels[i] = kIgnoredLabel;
}

Sequence learn_all(Tokens tokens) {
  Sequence sequence;
  sequence.labels = tokens;
  sequence.tokens = std::move(tokens);
  return sequence;
}

/// The first position has nothing before it that could predict it.
std::size_t learned(const Sequence& sequence) {
  if (sequence.labels.empty()) return 0;
  return static_cast<std::size_t>(std::count_if(sequence.labels.begin() + 1, sequence.labels.end(),
                                                [](TokenId l) { return l != kIgnoredLabel; }));
}

}  // namespace

Tokens Encoder::with_end(const std::string& text) const {
  Tokens tokens = vocabulary_.tokenize(text, model::Vocabulary::Special::Add,
                                       model::Vocabulary::Markers::AsTokens);
  const TokenId end = vocabulary_.end_token();
  if (end >= 0 && (tokens.empty() || tokens.back() != end)) tokens.push_back(end);
  return tokens;
}

Result<Sequence> Encoder::encode(const Record& record) const {
  switch (record.kind) {
    case Record::Kind::Messages:
      return encode_messages(record);
    case Record::Kind::PromptCompletion:
      return encode_prompt_completion(record);
    case Record::Kind::Text:
      break;
  }
  return learn_all(with_end(record.text));
}

Sequence Encoder::encode_prompt_completion(const Record& record) const {
  Sequence sequence = learn_all(with_end(record.prompt + record.completion));
  if (!options_.completion_only_loss) return sequence;
  const Tokens prompt = vocabulary_.tokenize(record.prompt, model::Vocabulary::Special::Add,
                                             model::Vocabulary::Markers::AsTokens);
  ignore(sequence, 0, common_prefix(prompt, sequence.tokens));
  return sequence;
}

Result<Sequence> Encoder::encode_messages(const Record& record) const {
  if (chat_template_ == nullptr) {
    return Error(ErrorCode::Invalid,
                 "the rows are messages, but the model has no chat template; name one with "
                 "ModelConfig.chat_template");
  }
  const std::span<const model::ChatMessage> messages(record.messages);
  const auto tokens_of = [&](std::size_t count, AnswerPrompt answer) -> Result<Tokens> {
    return vocabulary_.tokenize(TRY(chat_template_->render(messages.first(count), answer)));
  };
  Sequence sequence = learn_all(TRY(tokens_of(messages.size(), AnswerPrompt::None)));
  const bool completion_only = options_.completion_only_loss && record.prompt_messages > 0;
  if (!options_.assistant_only_loss && !completion_only) return sequence;
  // A turn ends where the text up to it does; tokens that both texts begin with belong to it.
  std::size_t begin = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool answer =
        completion_only ? i >= record.prompt_messages : messages[i].role == "assistant";
    if (!answer) continue;
    const Tokens before = i == 0 ? Tokens() : TRY(tokens_of(i, AnswerPrompt::Add));
    const std::size_t start = common_prefix(before, sequence.tokens);
    ignore(sequence, begin, start);
    begin = i + 1 == messages.size()
                ? sequence.tokens.size()
                : common_prefix(TRY(tokens_of(i + 1, AnswerPrompt::None)), sequence.tokens);
  }
  ignore(sequence, begin, sequence.tokens.size());
  return sequence;
}

Result<EncodedRows> encode_rows(const base::Context& ctx, const Encoder& encoder,
                                const Dataset& dataset, const std::vector<std::size_t>& rows) {
  EncodedRows encoded;
  const std::size_t limit = encoder.options().max_length;
  std::size_t done = 0;
  for (const std::size_t row : rows) {
    auto sequence = encoder.encode(dataset.records[row]);
    if (!sequence) return std::move(sequence).error().context(fmt::format("row {}", row + 1));
    const std::size_t length = sequence->tokens.size();
    encoded.longest_row = std::max(encoded.longest_row, length);
    if (length > limit) {
      if (encoded.cut++ == 0 || row + 1 < encoded.first_cut) encoded.first_cut = row + 1;
      sequence->tokens.resize(limit);
      sequence->labels.resize(limit);
    }
    if (++done % kRowsPerCheck == 0) TRY(ctx.check());
    const std::size_t learn = learned(*sequence);
    if (learn == 0) {
      ++encoded.dropped;
      continue;
    }
    encoded.longest = std::max(encoded.longest, sequence->tokens.size());
    encoded.tokens += sequence->tokens.size();
    encoded.loss_tokens += learn;
    encoded.sequences.push_back(*std::move(sequence));
  }
  if (encoded.sequences.empty() && !rows.empty()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("no row has anything to learn: {} rows, {} cut at max_length {}",
                             rows.size(), encoded.cut, limit));
  }
  return encoded;
}

std::vector<Sequence> wrap(const std::vector<Sequence>& rows, std::size_t max_length) {
  std::vector<Sequence> pieces;
  Sequence open;
  for (const Sequence& row : rows) {
    for (std::size_t i = 0; i < row.tokens.size(); ++i) {
      open.tokens.push_back(row.tokens[i]);
      open.labels.push_back(row.labels[i]);
      if (open.tokens.size() < max_length) continue;
      pieces.push_back(std::move(open));
      open = {};
    }
  }
  if (learned(open) > 0) pieces.push_back(std::move(open));
  std::erase_if(pieces, [](const Sequence& piece) { return learned(piece) == 0; });
  return pieces;
}

namespace {

/// Best-fit decreasing: each row, longest first, goes into the fullest bin that still takes it.
std::vector<std::vector<std::size_t>> pack(const std::vector<std::size_t>& lengths,
                                           std::size_t capacity) {
  std::vector<std::size_t> by_length(lengths.size());
  std::iota(by_length.begin(), by_length.end(), 0UZ);
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  std::vector<std::vector<std::size_t>> bins;
  std::vector<std::vector<std::size_t>> bins_with_room(capacity + 1);  // By free tokens.
  for (const std::size_t row : by_length) {
    std::size_t room = std::min(lengths[row], capacity);
    const std::size_t needed = room;
    while (room <= capacity && bins_with_room[room].empty()) ++room;
    std::size_t bin = bins.size();
    if (room <= capacity) {
      bin = bins_with_room[room].back();
      bins_with_room[room].pop_back();
    } else {
      bins.emplace_back();
      room = capacity;
    }
    bins[bin].push_back(row);
    bins_with_room[room - needed].push_back(bin);
  }
  return bins;
}

}  // namespace

std::vector<std::vector<std::size_t>> epoch_batches(const std::vector<std::size_t>& lengths,
                                                    const BatchOptions& options,
                                                    std::uint64_t epoch) {
  std::vector<std::vector<std::size_t>> bins;
  if (options.packing == Packing::BestFit) {
    bins = pack(lengths, options.max_length);
  } else {
    for (std::size_t row = 0; row < lengths.size(); ++row) bins.push_back({row});
  }
  std::vector<std::size_t> order(bins.size());
  std::iota(order.begin(), order.end(), 0UZ);
  // The odd constant (2^64 / golden ratio) keeps seeds of epochs and runs apart.
  if (options.shuffle)
    order = shuffled(bins.size(), options.seed + (epoch + 1) * 0x9E3779B97F4A7C15U);
  std::vector<std::vector<std::size_t>> batches;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i % options.batch_size == 0) batches.emplace_back();
    const auto& bin = bins[order[i]];
    batches.back().insert(batches.back().end(), bin.begin(), bin.end());
  }
  return batches;
}

}  // namespace tuning
