#include "apiserver/http/accept.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace apiserver {
namespace {

struct Clause {
  std::string media;
  std::string as;
  std::string group;
  std::string version;
  double quality = 1;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Takes what stands before `sign` off the front.
std::string_view cut(std::string_view& text, char sign) {
  const auto at = text.find(sign);
  const auto head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return trim(head);
}

std::vector<Clause> parse(std::string_view header) {
  std::vector<Clause> clauses;
  while (!header.empty()) {
    std::string_view rest = cut(header, ',');
    Clause clause;
    clause.media = cut(rest, ';');
    while (!rest.empty()) {
      std::string_view value = cut(rest, ';');
      const std::string_view key = cut(value, '=');
      if (key == "as") clause.as = trim(value);
      if (key == "g") clause.group = trim(value);
      if (key == "v") clause.version = trim(value);
      if (key == "q") clause.quality = std::strtod(std::string(value).c_str(), nullptr);
    }
    if (!clause.media.empty()) clauses.push_back(std::move(clause));
  }
  std::stable_sort(clauses.begin(), clauses.end(),
                   [](const Clause& a, const Clause& b) { return a.quality > b.quality; });
  return clauses;
}

bool is_json(const std::string& media) {
  return media == "application/json" || media == "application/*" || media == "*/*";
}

}  // namespace

ApiResult<Answer> negotiate(std::string_view accept) {
  const auto clauses = parse(accept);
  if (clauses.empty()) return Answer{};
  for (const Clause& clause : clauses) {
    Answer answer;
    if (clause.media == "application/yaml") {
      answer.encoding = Encoding::Yaml;
    } else if (!is_json(clause.media)) {
      continue;
    }
    if (clause.as.empty()) return answer;
    if (clause.group != "meta.k8s.io" || (clause.version != "v1" && clause.version != "v1beta1"))
      continue;
    if (clause.as == "Table") answer.view = View::Table;
    if (clause.as.starts_with("PartialObjectMetadata")) answer.view = View::Partial;
    if (answer.view != View::Object) return answer;
  }
  return status_error(406, "NotAcceptable",
                      "only the following media types are accepted: application/json, "
                      "application/yaml");
}

bool accepts_kind(std::string_view accept, std::string_view kind, std::string_view group,
                  std::string_view version) {
  const auto clauses = parse(accept);
  return std::any_of(clauses.begin(), clauses.end(), [&](const Clause& clause) {
    return is_json(clause.media) && clause.as == kind && clause.group == group &&
           clause.version == version;
  });
}

}  // namespace apiserver
