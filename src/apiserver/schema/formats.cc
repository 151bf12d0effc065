#include "apiserver/schema/formats.h"

#include <algorithm>

#include "apiserver/schema/pattern.h"
#include "base/encoding.h"

namespace apiserver {
namespace {

struct Format {
  std::string_view name;
  std::string_view pattern;
};

constexpr Format kFormats[] = {
    {"date", R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$)"},
    {"date-time",
     R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$)"},
    {"duration", R"(^([+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$|^[+-]?0$)"},
    {"email", R"(^[^@\s]+@[^@\s]+$)"},
    {"hostname",
     R"(^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\.?$)"},
    {"ipv4", R"(^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$)"},
    {"ipv6", R"(^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$)"},
    {"cidr", R"(^([0-9.]+/(3[0-2]|[12]?\d)|[0-9A-Fa-f:.]+/(12[0-8]|1[01]\d|\d?\d))$)"},
    {"mac", R"(^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$)"},
    {"uuid",
     R"(^[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}$)"},
    {"uri", R"(^[A-Za-z][A-Za-z0-9+.-]*:\S*$)"},
};

}  // namespace

bool matches_format(std::string_view format, std::string_view text) {
  if (format == "byte") return base::from_base64(text).has_value();
  const auto* known = std::find_if(std::begin(kFormats), std::end(kFormats),
                                   [&](const Format& f) { return f.name == format; });
  if (known == std::end(kFormats)) return true;
  return matches_pattern(known->pattern, text).value_or(true);
}

}  // namespace apiserver
