#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "model/text/chat_template.h"
#include "model/text/vocabulary.h"
#include "tuning/config/training_config.h"
#include "tuning/data/dataset.h"
#include "tuning/engine/types.h"

namespace tuning {

struct EncodeOptions {
  std::size_t max_length = 1024;  ///< Longer rows lose their end.
  bool completion_only_loss = false;
  bool assistant_only_loss = false;
};

/// Turns records into tokens and labels. Keeps references; any thread.
class Encoder {
 public:
  /// `chat_template` may be absent: rows of messages are refused then.
  Encoder(const model::Vocabulary& vocabulary, const model::ChatTemplate* chat_template,
          const EncodeOptions& options)
      : vocabulary_(vocabulary), chat_template_(chat_template), options_(options) {}

  /// Not cut yet. Prompt + completion and text rows end with the model's end token, as TRL has it.
  /// Errors: Invalid when the template refuses the messages or there is none.
  base::Result<Sequence> encode(const Record& record) const;

  const EncodeOptions& options() const { return options_; }

 private:
  base::Result<Sequence> encode_messages(const Record& record) const;
  Sequence encode_prompt_completion(const Record& record) const;
  std::vector<model::TokenId> with_end(const std::string& text) const;

  const model::Vocabulary& vocabulary_;
  const model::ChatTemplate* chat_template_;
  EncodeOptions options_;
};

/// All rows of a set as tokens, and what was done to them.
struct EncodedRows {
  std::vector<Sequence> sequences;
  std::size_t tokens = 0;
  std::size_t loss_tokens = 0;  ///< Positions that are learned.
  std::size_t longest = 0;      ///< After cutting.
  std::size_t cut = 0;          ///< Rows longer than max_length.
  std::size_t first_cut = 0;    ///< The first of them, counted from 1.
  std::size_t longest_row = 0;  ///< Before cutting.
  std::size_t dropped = 0;      ///< Rows without anything left to learn.
};
/// The records at `rows` in that order. Errors: Invalid naming the row; when nothing is left to
/// learn; Cancelled.
base::Result<EncodedRows> encode_rows(const base::Context& ctx, const Encoder& encoder,
                                      const Dataset& dataset, const std::vector<std::size_t>& rows);

/// How sequences are grouped for one pass through the model.
struct BatchOptions {
  std::size_t batch_size = 1;     ///< Sequences, or filled bins when packing.
  std::size_t max_length = 1024;  ///< Tokens of one bin.
  Packing packing = Packing::None;
  std::uint64_t seed = 42;
  bool shuffle = true;
};

/// Cuts the rows of a set, one after the other, into pieces of `max_length` (TRL's `wrapped`
/// packing): nothing is short, and rows run into each other.
std::vector<Sequence> wrap(const std::vector<Sequence>& rows, std::size_t max_length);

/// The batches of one epoch as positions in the rows; the same for equal arguments, so that a run
/// can be taken up in the middle. `lengths`: tokens of each row.
std::vector<std::vector<std::size_t>> epoch_batches(const std::vector<std::size_t>& lengths,
                                                    const BatchOptions& options,
                                                    std::uint64_t epoch);

}  // namespace tuning
