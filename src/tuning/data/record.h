#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/text/prompt_text.h"
#include "tuning/config/training_config.h"
#include "tuning/data/row_reader.h"

namespace tuning {

/// What one row teaches, before it becomes tokens.
struct Record {
  enum class Kind {
    Messages,          ///< `messages`, rendered with the model's chat template.
    PromptCompletion,  ///< `prompt` + `completion`, one after the other.
    Text,              ///< `text` as it is.
  };
  Kind kind = Kind::Text;
  std::vector<model::ChatMessage> messages;
  /// Messages at the front that belong to the prompt (rows of prompt + completion as messages).
  std::size_t prompt_messages = 0;
  std::string prompt;
  std::string completion;
  std::string text;

  std::size_t bytes() const;
};

/// Which columns of a data set are used, and how.
struct Columns {
  Record::Kind kind = Record::Kind::Text;
  std::string first;   ///< messages, prompt or text.
  std::string second;  ///< completion.
};

/// Chooses by the settings, else by the usual names: `messages`, `prompt` + `completion`, the text
/// column. Errors: Invalid, naming the columns that are there and the setting to use.
base::Result<Columns> choose_columns(const Row& first_row, const DatasetSettings& dataset,
                                     const std::string& text_column);

/// Errors: Invalid, naming row and column (`row 3 (line 3), column messages[1].role: ...`).
base::Result<Record> to_record(const Row& row, const Columns& columns);

}  // namespace tuning
