#include "oci/file_name.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;

base::Status check_file_path(std::string_view path) {
  const auto wrong = [&](std::string_view why) {
    return Error(ErrorCode::Invalid,
                 fmt::format("image: the file name \"{}\" {}", path.substr(0, 100), why));
  };
  if (path.empty()) return wrong("is empty");
  if (path.size() > kMaxFileNameLength) return wrong("is too long");
  if (path.front() == '/') return wrong("is absolute");
  if (!base::is_utf8(path)) return Error(ErrorCode::Invalid, "image: a file name is not UTF-8");
  if (std::ranges::any_of(path,
                          [](char c) { return (c >= 0 && c < ' ') || c == 127 || c == '\\'; }))
    return wrong("holds a control character or a backslash");
  if (path == "model.json" || path.starts_with(".kaito-")) return wrong("is reserved");
  for (std::string_view rest = path;;) {
    const auto slash = rest.find('/');
    const auto component = rest.substr(0, slash);
    if (component.empty() || component == "." || component == "..")
      return wrong("leaves its folder or has empty parts");
    if (component.size() > kMaxFileNameComponent) return wrong("is too long");
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace oci
