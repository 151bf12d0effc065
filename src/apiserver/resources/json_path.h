#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/value.h"

namespace apiserver {

/// The subset of Kubernetes' JSONPath that printer columns use: `.a.b`, `['a.b']`, `.a\.b`, `[0]`,
/// `[*]`, `[?(@.type=="Ready")]` with == and !=.
class JsonPath {
 public:
  /// Braces and a leading `$` are allowed. Errors: Invalid.
  static base::Result<JsonPath> parse(std::string_view text);
  /// Every value the path reaches, in document order; views into `root`.
  std::vector<const json::Value*> evaluate(const json::Value& root) const;

 private:
  enum class Kind { Member, Index, All, Filter };
  struct Step {
    Kind kind = Kind::Member;
    std::string name{};  ///< Member; for Filter the literal to compare with.
    std::int64_t index = 0;
    std::vector<Step> left{};  ///< Filter: path below `@`.
    bool equal = true;
    bool exists = false;  ///< Filter without a comparison.
  };
  class Parser;
  static void apply(const Step& step, const json::Value& at, std::vector<const json::Value*>& out);
  static std::vector<const json::Value*> walk(const std::vector<Step>& steps,
                                              const json::Value& root);
  std::vector<Step> steps_;
};

}  // namespace apiserver
