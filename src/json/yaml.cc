#include "json/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

namespace json {
namespace {

constexpr std::size_t kMaxNodes = 200'000;
constexpr std::size_t kMaxDepth = 64;

/// Carries a mistake out of the recursion; never leaves this file.
struct YamlMistake {
  YAML::Mark mark;
  std::string message;
};

Value plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* first = text.data();
  const char* last = first + text.size();
  if (*first == '+') ++first;
  std::int64_t integer = 0;
  if (const auto [end, code] = std::from_chars(first, last, integer);
      code == std::errc{} && end == last && first != last) {
    return integer;
  }
  const bool numeric = text.find_first_not_of("+-.0123456789eE") == std::string::npos &&
                       text.find_first_of("0123456789") != std::string::npos;
  double number = 0;
  if (numeric) {
    if (const auto [end, code] = std::from_chars(first, last, number);
        code == std::errc{} && end == last)
      return number;
  }
  return String(text);
}

class Converter {
 public:
  explicit Converter(std::map<std::string, std::size_t>& lines) : lines_(lines) {}

  Value convert(const YAML::Node& node, const std::string& path, std::size_t depth) {
    if (++nodes_ > kMaxNodes) throw YamlMistake{node.Mark(), "too many values"};
    if (depth > kMaxDepth) throw YamlMistake{node.Mark(), "nested too deeply"};
    if (node.Mark().line >= 0) lines_.emplace(path, static_cast<std::size_t>(node.Mark().line) + 1);
    switch (node.Type()) {
      case YAML::NodeType::Null:
      case YAML::NodeType::Undefined:
        return nullptr;
      case YAML::NodeType::Scalar:
        // yaml-cpp tags quoted scalars "!" and plain ones "?".
        return node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str"
                   ? Value(String(node.Scalar()))
                   : plain_scalar(node.Scalar());
      case YAML::NodeType::Sequence:
        return sequence(node, path, depth);
      case YAML::NodeType::Map:
        return mapping(node, path, depth);
    }
    return nullptr;
  }

 private:
  Value sequence(const YAML::Node& node, const std::string& path, std::size_t depth) {
    Array array;
    for (std::size_t i = 0; i < node.size(); ++i) {
      array.push_back(convert(node[i], fmt::format("{}[{}]", path, i), depth + 1));
    }
    return array;
  }

  Value mapping(const YAML::Node& node, const std::string& path, std::size_t depth) {
    Object object;
    for (const auto& member : node) {
      if (!member.first.IsScalar())
        throw YamlMistake{member.first.Mark(), "a key must be a plain value"};
      const std::string& key = member.first.Scalar();
      if (object.contains(key))
        throw YamlMistake{member.first.Mark(), fmt::format("key '{}' appears twice", key)};
      const std::string child = key.find_first_of("./") == std::string::npos
                                    ? fmt::format("{}.{}", path, key)
                                    : fmt::format("{}[{}]", path, key);
      if (member.first.Mark().line >= 0)
        lines_.emplace(child, static_cast<std::size_t>(member.first.Mark().line) + 1);
      object.emplace(key, convert(member.second, child, depth + 1));
    }
    return object;
  }

  std::map<std::string, std::size_t>& lines_;
  std::size_t nodes_ = 0;
};

base::Error mistake(const YAML::Mark& mark, std::string_view message) {
  return base::Error(base::ErrorCode::Invalid,
                     fmt::format("invalid YAML at line {}, column {}: {}", mark.line + 1,
                                 mark.column + 1, message));
}

void emit(YAML::Emitter& out, const Value& value) {
  if (const auto* object = value.if_object()) {
    if (object->empty()) {
      out << YAML::Flow << YAML::BeginMap << YAML::EndMap;
      return;
    }
    out << YAML::BeginMap;
    for (const auto& member : *object) {
      out << YAML::Key << std::string(member.key()) << YAML::Value;
      emit(out, member.value());
    }
    out << YAML::EndMap;
  } else if (const auto* array = value.if_array()) {
    if (array->empty()) {
      out << YAML::Flow << YAML::BeginSeq << YAML::EndSeq;
      return;
    }
    out << YAML::BeginSeq;
    for (const auto& element : *array) emit(out, element);
    out << YAML::EndSeq;
  } else if (const auto* text = value.if_string()) {
    const std::string plain(text->data(), text->size());
    // What would read back as something else than this string gets quotes.
    static const std::set<std::string> kYaml11Booleans = {"y",   "Y",   "n",   "N",  "yes", "Yes",
                                                          "YES", "no",  "No",  "NO", "on",  "On",
                                                          "ON",  "off", "Off", "OFF"};
    if (!plain_scalar(plain).is_string() || kYaml11Booleans.contains(plain)) {
      out << YAML::DoubleQuoted << plain;
    } else if (plain.find('\n') != std::string::npos) {
      out << YAML::Literal << plain;
    } else {
      out << plain;
    }
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    out << dump(value);
  }
}

}  // namespace

std::size_t YamlDocument::line_of(std::string_view path) const {
  std::string at(path);
  for (;;) {
    if (const auto found = lines.find(at); found != lines.end()) return found->second;
    if (at.empty()) return 0;
    const auto cut = at.find_last_of(".[");
    at.resize(cut == std::string::npos ? 0 : cut);
  }
}

namespace {

/// Sees that every document begins after the one before: from some texts with a stray bracket
/// yaml-cpp makes empty documents without end.
class ProgressCheck final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos <= last_) throw YamlMistake{mark, "unexpected text"};
    last_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int last_ = -1;
};

void check_documents(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  ProgressCheck check;
  while (parser.HandleNextDocument(check)) {
  }
}

}  // namespace

base::Result<std::vector<YamlDocument>> parse_yaml(std::string_view text) {
  // YAML has no control characters (1.2, 5.1), and yaml-cpp never returns from some texts with NUL.
  const auto wrong = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
  if (wrong != text.end()) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("invalid YAML at line {}: control character {:#04x}",
                    std::count(text.begin(), wrong, '\n') + 1, static_cast<int>(*wrong)));
  }
  try {
    const std::string copy(text);
    check_documents(copy);
    std::vector<YamlDocument> documents;
    for (const YAML::Node& node : YAML::LoadAll(copy)) {
      if (node.IsNull()) continue;
      YamlDocument document;
      document.value = Converter(document.lines).convert(node, "", 0);
      documents.push_back(std::move(document));
    }
    return documents;
  } catch (const YamlMistake& e) {
    return mistake(e.mark, e.message);
  } catch (const YAML::Exception& e) {
    return mistake(e.mark, e.msg);
  }
}

std::string dump_yaml(const Value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace json
