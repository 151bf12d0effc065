#include "apiserver/resources/json_path.h"

#include <fmt/format.h>

#include <charconv>

namespace apiserver {

class JsonPath::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<std::vector<Step>> steps(std::string_view end_chars) {
    std::vector<Step> out;
    while (at_ < text_.size() && end_chars.find(text_[at_]) == std::string_view::npos) {
      if (text_[at_] == '.') {
        ++at_;
        // A lone dot names the object itself.
        if (at_ == text_.size() || text_[at_] == '[') continue;
        out.push_back({.name = member()});
        if (out.back().name.empty()) return error("a field name");
        if (out.back().name == "*") out.back().kind = Kind::All;
      } else if (text_[at_] == '[') {
        ++at_;
        out.push_back(TRY(bracket()));
      } else if (out.empty()) {
        out.push_back({.name = member()});
        if (out.back().name.empty()) return error("a field name");
      } else {
        return error("'.' or '['");
      }
    }
    return out;
  }

  base::Error error(std::string_view wanted) const {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("invalid JSONPath \"{}\": expected {} at {}", text_, wanted, at_ + 1));
  }
  bool at_end() const { return at_ == text_.size(); }

 private:
  std::string member() {
    std::string name;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        name.push_back(text_[at_ + 1]);
        at_ += 2;
        continue;
      }
      if (c == '.' || c == '[' || c == ']' || c == '=' || c == '!' || c == ')' || c == ' ') break;
      name.push_back(c);
      ++at_;
    }
    return name;
  }

  base::Result<Step> bracket() {
    if (at_ == text_.size()) return error("an index");
    Step step;
    if (text_[at_] == '\'' || text_[at_] == '"') {
      step.name = TRY(quoted());
    } else if (text_[at_] == '*') {
      ++at_;
      step.kind = Kind::All;
    } else if (text_.substr(at_, 2) == "?(") {
      at_ += 2;
      step = TRY(filter());
    } else {
      step.kind = Kind::Index;
      const auto rest = text_.substr(at_);
      const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), step.index);
      if (code != std::errc()) return error("an index, a quoted name, * or ?(");
      at_ += static_cast<std::size_t>(end - rest.data());
    }
    TRY(expect(']'));
    return step;
  }

  base::Result<Step> filter() {
    Step step;
    step.kind = Kind::Filter;
    skip_spaces();
    TRY(expect('@'));
    step.left = TRY(steps("=!) "));
    skip_spaces();
    if (text_.substr(at_, 1) == ")") {
      ++at_;
      step.exists = true;
      return step;
    }
    const std::string_view op = text_.substr(at_, 2);
    if (op != "==" && op != "!=") return error("== or !=");
    step.equal = op == "==";
    at_ += 2;
    skip_spaces();
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      step.name = TRY(quoted());
    } else {
      step.name = member();
    }
    skip_spaces();
    TRY(expect(')'));
    return step;
  }

  base::Result<std::string> quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out.push_back(text_[at_++]);
    }
    TRY(expect(quote));
    return out;
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  base::Status expect(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return {};
    }
    return error(fmt::format("'{}'", c));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

base::Result<JsonPath> JsonPath::parse(std::string_view text) {
  if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
  if (text.starts_with('$')) text.remove_prefix(1);
  Parser parser(text);
  JsonPath path;
  path.steps_ = TRY(parser.steps(""));
  return path;
}

void JsonPath::apply(const Step& step, const json::Value& at,
                     std::vector<const json::Value*>& out) {
  const json::Object* object = at.if_object();
  const json::Array* array = at.if_array();
  switch (step.kind) {
    case Kind::Member:
      if (const auto* value = object ? object->if_contains(step.name) : nullptr)
        out.push_back(value);
      return;
    case Kind::Index: {
      if (!array) return;
      const auto size = static_cast<std::int64_t>(array->size());
      const std::int64_t index = step.index < 0 ? step.index + size : step.index;
      if (index >= 0 && index < size) out.push_back(&(*array)[static_cast<std::size_t>(index)]);
      return;
    }
    case Kind::All:
      if (array)
        for (const auto& element : *array) out.push_back(&element);
      if (object)
        for (const auto& member : *object) out.push_back(&member.value());
      return;
    case Kind::Filter:
      if (!array) return;
      for (const auto& element : *array) {
        const auto found = walk(step.left, element);
        if (step.exists) {
          if (!found.empty()) out.push_back(&element);
          continue;
        }
        if (found.empty()) continue;
        const json::String* string = found.front()->if_string();
        const std::string text = string ? json::to_string(*string) : json::dump(*found.front());
        if ((text == step.name) == step.equal) out.push_back(&element);
      }
      return;
  }
}

std::vector<const json::Value*> JsonPath::walk(const std::vector<Step>& steps,
                                               const json::Value& root) {
  std::vector<const json::Value*> now{&root};
  for (const Step& step : steps) {
    std::vector<const json::Value*> next;
    for (const json::Value* value : now) apply(step, *value, next);
    now = std::move(next);
  }
  return now;
}

std::vector<const json::Value*> JsonPath::evaluate(const json::Value& root) const {
  return walk(steps_, root);
}

}  // namespace apiserver
