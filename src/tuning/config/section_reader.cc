#include "tuning/config/section_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace tuning {
namespace {

/// Nothing longer is taken for a misspelled key.
constexpr std::size_t kLongestKey = 64;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// Changes of one letter (put in, taken out, replaced) between two words.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0UZ);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string> spell(const json::Value& value) {
  if (const json::String* text = value.if_string()) return json::to_string(*text);
  if (value.is_object() || value.is_array() || value.is_null()) return std::nullopt;
  return json::dump(value);
}

std::optional<double> to_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code == std::errc{} && end == text.data() + text.size()) return number;
  // 3.0 and 1e3 are whole numbers too.
  const auto real = to_number(text);
  if (!real || std::abs(*real) > 9e15 || *real != std::floor(*real)) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > kLongestKey) return {};
  std::string best;
  std::size_t best_distance = std::max(2UZ, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t here = distance(lower(word), lower(candidate));
    if (here < best_distance && here < std::max(word.size(), candidate.size())) {
      best = candidate;
      best_distance = here;
    }
  }
  return best;
}

const json::Value* SectionReader::raw(std::string_view key) {
  known_.emplace_back(key);
  const json::Value* value = section_ == nullptr ? nullptr : section_->if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void SectionReader::fail(std::string_view key, std::string message) {
  findings_.errors.push_back(
      {fmt::format("training_config.{}.{}", name_, key), std::move(message)});
}

std::optional<std::string> SectionReader::spelled(std::string_view key) {
  const json::Value* value = raw(key);
  if (value == nullptr) return std::nullopt;
  std::optional<std::string> text = spell(*value);
  if (!text) fail(key, fmt::format("expected one value, found {}", json::kind_name(*value)));
  return text;
}

void SectionReader::integer(std::string_view key, std::int64_t& out, Whole range) {
  const auto text = spelled(key);
  if (!text) return;
  const auto number = to_integer(*text);
  if (!number) return fail(key, fmt::format("expected a whole number, found '{}'", *text));
  if (*number < range.least || *number > range.most) {
    return fail(key, fmt::format("{} is not between {} and {}", *number, range.least, range.most));
  }
  out = *number;
}

void SectionReader::seed(std::string_view key, std::uint64_t& out) {
  std::int64_t number = static_cast<std::int64_t>(out);
  integer(key, number, {.least = 0, .most = std::numeric_limits<std::uint32_t>::max()});
  out = static_cast<std::uint64_t>(number);
}

void SectionReader::number(std::string_view key, double& out, Real range) {
  const auto text = spelled(key);
  if (!text) return;
  const auto number = to_number(*text);
  if (!number) return fail(key, fmt::format("expected a number, found '{}'", *text));
  if (*number < range.least || *number > range.most) {
    return fail(key, fmt::format("{} is not between {} and {}", *number, range.least, range.most));
  }
  out = *number;
}

void SectionReader::boolean(std::string_view key, bool& out) {
  const auto text = spelled(key);
  if (!text) return;
  const std::string word = lower(*text);
  if (word != "true" && word != "false")
    return fail(key, fmt::format("expected true or false, found '{}'", *text));
  out = word == "true";
}

void SectionReader::text(std::string_view key, std::string& out) {
  if (auto text = spelled(key)) out = *std::move(text);
}

void SectionReader::texts(std::string_view key, std::vector<std::string>& out) {
  const json::Value* value = raw(key);
  if (value == nullptr) return;
  out.clear();
  const json::Array* list = value->if_array();
  if (list == nullptr) {
    if (auto text = spell(*value)) return out.push_back(*std::move(text));
    return fail(key, fmt::format("expected a list, found {}", json::kind_name(*value)));
  }
  for (const json::Value& element : *list) {
    const json::String* text = element.if_string();
    if (text == nullptr)
      return fail(key, fmt::format("expected texts, found {}", json::kind_name(element)));
    out.push_back(json::to_string(*text));
  }
}

void SectionReader::integers(std::string_view key, std::vector<std::int64_t>& out, Whole range) {
  const json::Value* value = raw(key);
  if (value == nullptr) return;
  const json::Array* list = value->if_array();
  const json::Array one{*value};
  if (list == nullptr) list = &one;
  out.clear();
  for (const json::Value& element : *list) {
    const auto text = spell(element);
    const auto number = text ? to_integer(*text) : std::nullopt;
    if (!number || *number < range.least || *number > range.most) {
      return fail(key, fmt::format("expected whole numbers between {} and {}, found {}",
                                   range.least, range.most, json::dump(element)));
    }
    out.push_back(*number);
  }
}

void SectionReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) known_.emplace_back(key);
}

void SectionReader::note_if_set(std::string_view key, std::string_view why) {
  const json::Value* value = raw(key);
  if (value == nullptr || (value->is_bool() && !value->get_bool())) return;
  note(fmt::format("{}.{} has no effect: {}", name_, key, why));
}

void SectionReader::refuse_unless(std::string_view key,
                                  std::initializer_list<std::string_view> accepted,
                                  std::string_view why) {
  const json::Value* value = raw(key);
  if (value == nullptr) return;
  if (const json::Object* map = value->if_object(); map != nullptr && map->empty()) return;
  if (const json::Array* list = value->if_array(); list != nullptr && list->empty()) return;
  const auto word = spell(*value);
  if (word && std::find(accepted.begin(), accepted.end(), lower(*word)) != accepted.end()) return;
  fail(key, fmt::format("{} is not supported: {}", json::dump(*value), why));
}

std::vector<std::string> SectionReader::unknown_keys() const {
  std::vector<std::string> unknown;
  if (section_ == nullptr) return unknown;
  for (const auto& member : *section_) {
    std::string key(member.key().data(), member.key().size());
    if (std::find(known_.begin(), known_.end(), key) == known_.end())
      unknown.push_back(std::move(key));
  }
  return unknown;
}

}  // namespace tuning
