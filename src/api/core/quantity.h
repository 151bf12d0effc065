#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "json/codec.h"

namespace api {

/// A resource amount as it travels: `500m`, `64Mi`, `1e3`. YAML may hold it as a number; it is kept
/// and written as text.
struct Quantity {
  std::string text{};

  Quantity() = default;
  Quantity(std::string value) : text(std::move(value)) {}
  Quantity(const char* value) : text(value) {}

  static base::Result<Quantity> from_json(const json::Value& value);
  json::Value to_json() const;
  static json::Object json_schema();
  friend bool is_empty(const Quantity& quantity) { return quantity.text.empty(); }
  friend auto operator<=>(const Quantity&, const Quantity&) = default;
};

/// The amount in whole units (bytes, GPUs, cores), rounded up. Suffixes: n u m, k M G T P E,
/// Ki Mi Gi Ti Pi Ei, or a decimal exponent. Errors: Invalid for anything else, for NaN and for
/// amounts beyond 63 bits.
base::Result<std::int64_t> quantity_units(std::string_view text);
/// `quantity_units` under the name that suits memory and storage.
base::Result<std::int64_t> quantity_bytes(std::string_view text);
/// The amount in thousandths (CPU), rounded up.
base::Result<std::int64_t> quantity_milli(std::string_view text);

/// `N` or, where it divides evenly, `NKi`, `NMi`, `NGi`, `NTi`.
Quantity bytes_quantity(std::int64_t bytes);

}  // namespace api
