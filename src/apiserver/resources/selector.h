#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/value.h"

namespace apiserver {

/// A label selector as it travels in a query: `a=b,c!=d,e in (x,y),f notin (z),g,!h,n>3`.
class LabelQuery {
 public:
  /// Errors: Invalid with what was expected where.
  static base::Result<LabelQuery> parse(std::string_view text);
  bool empty() const { return requirements_.empty(); }
  bool matches(const json::Value& object) const;

 private:
  enum class Op { In, NotIn, Exists, NotExists, Greater, Less };
  struct Requirement {
    std::string key;
    Op op = Op::Exists;
    std::vector<std::string> values;
  };
  class Parser;
  static bool holds(const Requirement& requirement, const json::Object* labels);
  std::vector<Requirement> requirements_;
};

/// A field selector: `metadata.name=x,status.phase!=Failed`. Any dotted path is allowed; a missing
/// field is "".
class FieldQuery {
 public:
  static base::Result<FieldQuery> parse(std::string_view text);
  bool empty() const { return terms_.empty(); }
  bool matches(const json::Value& object) const;
  /// The value that `path` must equal, or "".
  std::string_view required(std::string_view path) const;

 private:
  struct Term {
    std::string path;
    std::string value;
    bool equal = true;
  };
  std::vector<Term> terms_;
};

}  // namespace apiserver
