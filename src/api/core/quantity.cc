#include "api/core/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace api {
namespace {

using base::Error;
using base::ErrorCode;

/// Wide enough for every 63-bit amount times a thousand.
__extension__ typedef unsigned __int128 Wide;  // NOLINT(modernize-use-using): no place for `using`

/// A suffix stands for 2^binary x 10^decimal.
struct Suffix {
  std::string_view text;
  int binary = 0;
  int decimal = 0;
};
constexpr Suffix kSuffixes[] = {
    {"Ki", 10, 0}, {"Mi", 20, 0}, {"Gi", 30, 0}, {"Ti", 40, 0}, {"Pi", 50, 0},
    {"Ei", 60, 0}, {"n", 0, -9},  {"u", 0, -6},  {"m", 0, -3},  {"k", 0, 3},
    {"M", 0, 6},   {"G", 0, 9},   {"T", 0, 12},  {"P", 0, 15},  {"E", 0, 18},
};

/// `mantissa` x 2^binary x 10^decimal, exactly.
struct Amount {
  bool negative = false;
  Wide mantissa = 0;
  int binary = 0;
  int decimal = 0;
};

constexpr std::size_t kMaxTextBytes = 64;
/// More significant digits than any 63-bit amount has, few enough for Wide.
constexpr int kMaxDigits = 25;
constexpr int kMaxExponent = 99;

Error invalid(std::string_view text) {
  return Error(ErrorCode::Invalid, fmt::format("'{}' is not a quantity such as 500m, 2 or 16Gi",
                                               text.substr(0, kMaxTextBytes)));
}

Error too_large(std::string_view text) {
  return Error(ErrorCode::Invalid, fmt::format("'{}' is too large", text.substr(0, kMaxTextBytes)));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// `e3`, `E-2`: the exponent; nothing when `text` is not one.
base::Result<int> parse_exponent(std::string_view text, std::string_view whole) {
  const std::size_t sign = text.size() > 1 && (text[1] == '-' || text[1] == '+') ? 1 : 0;
  const std::string_view digits = text.substr(std::min(text.size(), 1 + sign));
  if ((text[0] != 'e' && text[0] != 'E') || digits.empty() || digits.size() > 2 ||
      !std::ranges::all_of(digits, is_digit)) {
    return invalid(whole);
  }
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  static_assert(kMaxExponent == 99, "two digits");
  return sign && text[1] == '-' ? -value : value;
}

base::Result<Amount> parse(std::string_view text) {
  if (text.size() > kMaxTextBytes) return invalid(text);
  Amount amount;
  std::size_t at = 0;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) amount.negative = text[at++] == '-';
  bool any_digit = false;
  bool fraction = false;
  int digits = 0;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !fraction)); ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    any_digit = true;
    if (amount.mantissa != 0 || text[at] != '0') ++digits;
    if (digits > kMaxDigits) return too_large(text);
    amount.mantissa = amount.mantissa * 10 + static_cast<unsigned>(text[at] - '0');
    if (fraction) --amount.decimal;
  }
  if (!any_digit) return invalid(text);
  const std::string_view rest = text.substr(at);
  if (rest.empty()) return amount;
  const auto suffix = std::ranges::find(kSuffixes, rest, &Suffix::text);
  if (suffix != std::end(kSuffixes)) {
    amount.binary = suffix->binary;
    amount.decimal += suffix->decimal;
    return amount;
  }
  amount.decimal += TRY(parse_exponent(rest, text));
  return amount;
}

/// The amount rounded away from zero, as Kubernetes rounds. Errors: Invalid beyond 63 bits.
base::Result<std::int64_t> to_integer(const Amount& amount, std::string_view text) {
  constexpr Wide kLimit = static_cast<Wide>(std::numeric_limits<std::int64_t>::max());
  Wide value = amount.mantissa;
  if (value == 0) return 0;
  int binary = amount.binary;
  Wide divisor = 1;
  for (int i = amount.decimal; i < 0; ++i) {
    // Beyond this the amount is below one: a mantissa has at most kMaxDigits digits.
    if (divisor > (kLimit << 32)) return amount.negative ? -1 : 1;
    divisor *= 10;
  }
  for (; binary > 0; --binary) {
    if (value > (~Wide{0} >> 1)) return too_large(text);
    value <<= 1;
  }
  for (int i = 0; i < amount.decimal; ++i) {
    if (value > kLimit) return too_large(text);
    value *= 10;
  }
  value = value / divisor + (value % divisor != 0 ? 1 : 0);
  if (value > kLimit) return too_large(text);
  const auto magnitude = static_cast<std::int64_t>(value);
  return amount.negative ? -magnitude : magnitude;
}

}  // namespace

base::Result<Quantity> Quantity::from_json(const json::Value& value) {
  if (const auto* text = value.if_string()) {
    Quantity quantity(json::to_string(*text));
    TRY(parse(quantity.text));
    return quantity;
  }
  if (value.is_number()) return Quantity(json::dump(value));
  return Error(ErrorCode::Invalid,
               fmt::format("expected a quantity, found {}", json::kind_name(value)));
}

json::Value Quantity::to_json() const { return json::String(text); }

json::Object Quantity::json_schema() {
  return {
      {"anyOf", json::Array{json::Object{{"type", "integer"}}, json::Object{{"type", "string"}}}},
      {"x-kubernetes-int-or-string", true}};
}

base::Result<std::int64_t> quantity_units(std::string_view text) {
  return to_integer(TRY(parse(text)), text);
}

base::Result<std::int64_t> quantity_bytes(std::string_view text) { return quantity_units(text); }

base::Result<std::int64_t> quantity_milli(std::string_view text) {
  Amount amount = TRY(parse(text));
  amount.decimal += 3;
  return to_integer(amount, text);
}

Quantity bytes_quantity(std::int64_t bytes) {
  constexpr std::string_view kUnits[] = {"", "Ki", "Mi", "Gi", "Ti"};
  std::size_t unit = 0;
  while (unit + 1 < std::size(kUnits) && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return Quantity(fmt::format("{}{}", bytes, kUnits[unit]));
}

}  // namespace api
