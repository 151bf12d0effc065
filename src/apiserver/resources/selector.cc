#include "apiserver/resources/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace apiserver {
namespace {

bool is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '/';
}

std::optional<std::int64_t> to_int(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

}  // namespace

class LabelQuery::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<std::vector<Requirement>> run() {
    std::vector<Requirement> all;
    skip_spaces();
    while (at_ < text_.size()) {
      all.push_back(TRY(requirement()));
      skip_spaces();
      if (at_ == text_.size()) break;
      TRY(expect(','));
      skip_spaces();
      if (at_ == text_.size()) return error("a requirement after ','");
    }
    return all;
  }

 private:
  base::Result<Requirement> requirement() {
    Requirement out;
    const bool negated = take('!');
    out.key = word();
    if (out.key.empty()) return error("a label key");
    if (negated) {
      out.op = Op::NotExists;
      return out;
    }
    skip_spaces();
    if (at_ == text_.size() || text_[at_] == ',') return out;
    if (take('=')) {
      (void)take('=');
      return with_value(std::move(out), Op::In);
    }
    if (take('!')) {
      TRY(expect('='));
      return with_value(std::move(out), Op::NotIn);
    }
    if (take('>')) return with_value(std::move(out), Op::Greater);
    if (take('<')) return with_value(std::move(out), Op::Less);
    const std::string op = word();
    if (op != "in" && op != "notin") return error("=, ==, !=, in, notin, > or <");
    out.op = op == "in" ? Op::In : Op::NotIn;
    return with_set(std::move(out));
  }

  base::Result<Requirement> with_value(Requirement out, Op op) {
    out.op = op;
    skip_spaces();
    out.values.push_back(word());
    if ((op == Op::Greater || op == Op::Less) && !to_int(out.values.back()))
      return error("an integer");
    return out;
  }

  base::Result<Requirement> with_set(Requirement out) {
    skip_spaces();
    TRY(expect('('));
    while (true) {
      skip_spaces();
      out.values.push_back(word());
      skip_spaces();
      if (take(')')) return out;
      TRY(expect(','));
    }
  }

  std::string word() {
    const std::size_t start = at_;
    while (at_ < text_.size() && is_key_char(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }
  base::Status expect(char c) {
    if (take(c)) return {};
    return error(fmt::format("'{}'", c));
  }
  base::Error error(std::string_view wanted) const {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("unable to parse label selector \"{}\": expected {} at {}",
                                   text_, wanted, at_ + 1));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

base::Result<LabelQuery> LabelQuery::parse(std::string_view text) {
  LabelQuery query;
  query.requirements_ = TRY(Parser(text).run());
  return query;
}

bool LabelQuery::holds(const Requirement& requirement, const json::Object* labels) {
  const json::Value* label = labels ? labels->if_contains(requirement.key) : nullptr;
  const json::String* text = label ? label->if_string() : nullptr;
  const auto listed = [&] {
    return std::find(requirement.values.begin(), requirement.values.end(), json::view(*text)) !=
           requirement.values.end();
  };
  switch (requirement.op) {
    case Op::Exists:
      return label != nullptr;
    case Op::NotExists:
      return label == nullptr;
    case Op::In:
      return text && listed();
    case Op::NotIn:
      return !text || !listed();
    case Op::Greater:
    case Op::Less: {
      const auto number = text ? to_int(json::view(*text)) : std::nullopt;
      const auto bound = to_int(requirement.values.front());
      if (!number || !bound) return false;
      return requirement.op == Op::Greater ? *number > *bound : *number < *bound;
    }
  }
  return false;
}

bool LabelQuery::matches(const json::Value& object) const {
  if (requirements_.empty()) return true;
  const json::Object* labels = json::find_object(object, "metadata.labels");
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const Requirement& requirement) { return holds(requirement, labels); });
}

base::Result<FieldQuery> FieldQuery::parse(std::string_view text) {
  FieldQuery query;
  while (!text.empty()) {
    // A backslash protects commas and signs in values.
    std::string plain;
    std::size_t at = 0;
    std::optional<std::size_t> sign;
    std::size_t sign_size = 0;
    bool equal = true;
    for (; at < text.size() && text[at] != ','; ++at) {
      if (text[at] == '\\' && at + 1 < text.size()) {
        plain.push_back(text[++at]);
        continue;
      }
      if (!sign && (text[at] == '=' || (text[at] == '!' && text.substr(at + 1, 1) == "="))) {
        sign = plain.size();
        equal = text[at] == '=';
        sign_size = text.substr(at + 1, 1) == "=" ? 1 : 0;
        at += sign_size;
        continue;
      }
      plain.push_back(text[at]);
    }
    if (!sign || *sign == 0)
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("invalid field selector: \"{}\" has no = or !=", text));
    query.terms_.push_back({plain.substr(0, *sign), plain.substr(*sign), equal});
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return query;
}

bool FieldQuery::matches(const json::Value& object) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    const json::Value* value = json::find(object, term.path);
    std::string text;
    if (value && value->is_string()) {
      text = json::to_string(value->get_string());
    } else if (value && (value->is_number() || value->is_bool())) {
      text = json::dump(*value);
    }
    return (text == term.value) == term.equal;
  });
}

std::string_view FieldQuery::required(std::string_view path) const {
  for (const Term& term : terms_)
    if (term.equal && term.path == path) return term.value;
  return {};
}

}  // namespace apiserver
