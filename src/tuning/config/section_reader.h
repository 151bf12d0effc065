#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/codec.h"
#include "json/value.h"

namespace tuning {

/// What reading a configuration finds besides values.
struct Findings {
  std::vector<json::FieldError> errors;
  std::vector<std::string> notes;
};

/// Takes one section apart key by key. Values may be YAML of the right kind or text that spells it:
/// upstream turns every value into text for a command line. null leaves the default. Keys that
/// nobody asked for are reported by `unknown_keys`.
class SectionReader {
 public:
  template <class T>
  using Choices = std::initializer_list<std::pair<std::string_view, T>>;

  /// `section` may be null: everything keeps its default. It must outlive the reader.
  SectionReader(std::string name, const json::Object* section, Findings& findings)
      : name_(std::move(name)), section_(section), findings_(findings) {}

  struct Whole {
    std::int64_t least = 0;
    std::int64_t most = std::numeric_limits<std::int32_t>::max();
  };
  struct Real {
    double least = 0;
    double most = 1e9;
  };
  void integer(std::string_view key, std::int64_t& out, Whole range);
  void seed(std::string_view key, std::uint64_t& out);
  void number(std::string_view key, double& out, Real range);
  void boolean(std::string_view key, bool& out);
  void text(std::string_view key, std::string& out);
  /// One text or a list of texts.
  void texts(std::string_view key, std::vector<std::string>& out);
  void integers(std::string_view key, std::vector<std::int64_t>& out, Whole range);
  template <class T>
  void choice(std::string_view key, T& out, Choices<T> choices) {
    const std::optional<std::string> given = spelled(key);
    if (!given) return;
    std::string names;
    for (const auto& [name, value] : choices) {
      if (name == *given) {
        out = value;
        return;
      }
      names += names.empty() ? "" : ", ";
      names += name;
    }
    fail(key, "'" + *given + "' is not one of " + names);
  }

  /// Known to upstream and without meaning here.
  void ignore(std::initializer_list<std::string_view> keys);
  /// As `ignore`, but the log says why when it is set.
  void note_if_set(std::string_view key, std::string_view why);
  /// Known to upstream; any value but null and `accepted` (spelled in lower case) is refused.
  void refuse_unless(std::string_view key, std::initializer_list<std::string_view> accepted,
                     std::string_view why);

  /// The value of `key`, null when absent or null; the key counts as known.
  const json::Value* raw(std::string_view key);
  void fail(std::string_view key, std::string message);
  void note(std::string message) { findings_.notes.push_back(std::move(message)); }

  const std::string& name() const { return name_; }
  const std::vector<std::string>& known() const { return known_; }
  std::vector<std::string> unknown_keys() const;

 private:
  /// A scalar as the text that upstream would put on the command line.
  std::optional<std::string> spelled(std::string_view key);

  std::string name_;
  const json::Object* section_;
  Findings& findings_;
  std::vector<std::string> known_;
};

/// The text of a scalar; nothing for lists and maps.
std::optional<std::string> spell(const json::Value& value);
std::optional<double> to_number(std::string_view text);
std::optional<std::int64_t> to_integer(std::string_view text);

/// The one of `known` that `word` most likely means; "" when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace tuning
