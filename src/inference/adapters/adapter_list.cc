#include "inference/adapters/adapter_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "inference/adapters/limits.h"
#include "json/codec.h"
#include "json/value.h"
#include "json/yaml.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

struct WireEntry {
  std::string name;
  json::Value strength;
  std::string image;
  std::string path;
};
struct WireList {
  json::Value revision;
  std::vector<WireEntry> adapters;
};

template <class Visitor>
void describe(Visitor& v, WireEntry& entry) {
  v.field("name", entry.name, json::Presence::Required, "What requests call it.");
  v.field("strength", entry.strength, json::Presence::Optional, "0 to 1; default 1.");
  v.field("image", entry.image, json::Presence::Optional, "An image with the adapter in /data.");
  v.field("path", entry.path, json::Presence::Optional, "A folder with the adapter.");
}

template <class Visitor>
void describe(Visitor& v, WireList& list) {
  v.field("revision", list.revision, json::Presence::Optional, "Handed back by GET /v1/adapters.");
  v.field("adapters", list.adapters, json::Presence::Optional, "At most ten.");
}

/// A scalar as the text it was written as, nearly.
std::string scalar_text(const json::Value& value) {
  if (const json::String* text = value.if_string()) return json::to_string(*text);
  return value.is_null() ? std::string() : json::dump(value);
}

bool is_label(std::string_view label) {
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !label.empty() && is_word(label.front()) && is_word(label.back()) &&
         std::all_of(label.begin(), label.end(), [&](char c) { return is_word(c) || c == '-'; });
}

/// RFC 1123 as Kubernetes reads it: labels with dots between.
bool is_subdomain(std::string_view name) {
  if (name.size() > kMaxAdapterNameBytes) return false;
  for (;;) {
    const auto dot = name.find('.');
    if (!is_label(name.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

Result<AdapterEntry> entry_from(const WireEntry& wire) {
  AdapterEntry entry{.name = wire.name, .image = wire.image, .path = wire.path};
  if (entry.image.empty() == entry.path.empty())
    return invalid("exactly one of image and path is needed");
  if (!entry.path.empty() && !entry.path.is_absolute())
    return invalid(fmt::format("path should be absolute, not {}", wire.path));
  if (!wire.strength.is_null()) entry.strength = TRY(parse_strength(scalar_text(wire.strength)));
  return entry;
}

}  // namespace

Result<double> parse_strength(std::string_view text) {
  double strength = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), strength);
  if (problem != std::errc() || end != text.data() + text.size() ||
      !(strength >= 0 && strength <= 1))
    return invalid(fmt::format("strength should be a number from 0 to 1, not `{}`", text));
  return strength;
}

base::Status check_adapters(const std::vector<AdapterEntry>& adapters) {
  if (adapters.size() > kMaxAdapters)
    return invalid(fmt::format("{} adapters are wanted, at most {} are allowed", adapters.size(),
                               kMaxAdapters));
  std::set<std::string_view> names;
  for (const AdapterEntry& one : adapters) {
    if (!is_subdomain(one.name))
      return invalid(
          fmt::format("adapter name `{}` should be lower-case letters, digits, - and .", one.name));
    if (!names.insert(one.name).second)
      return invalid(fmt::format("adapter name {} is there twice", one.name));
  }
  return {};
}

Result<AdapterList> parse_adapter_list(std::string_view text) {
  const auto documents = TRY(json::parse_yaml(text));
  if (documents.empty()) return AdapterList{};
  if (documents.size() > 1) return invalid("has more than one document");
  const json::YamlDocument& document = documents.front();
  const auto decoded = json::decode_strict<WireList>(document.value);
  if (!decoded.errors.empty()) {
    std::string all;
    for (const json::FieldError& one : decoded.errors)
      all += fmt::format("{}line {}: {}: {}", all.empty() ? "" : "; ", document.line_of(one.path),
                         one.path, one.message);
    return invalid(std::move(all));
  }
  AdapterList list{.revision = scalar_text(decoded.value.revision), .adapters = {}};
  for (const WireEntry& wire : decoded.value.adapters) {
    auto entry = entry_from(wire);
    if (!entry) return std::move(entry).error().context(fmt::format("adapter {}", wire.name));
    list.adapters.push_back(*std::move(entry));
  }
  TRY(check_adapters(list.adapters));
  return list;
}

Result<AdapterEntry> parse_adapter_flag(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals + 1 == text.size())
    return invalid(
        fmt::format("an adapter is NAME=FOLDER or NAME=FOLDER:STRENGTH, not `{}`", text));
  AdapterEntry entry{.name = std::string(text.substr(0, equals)), .image = {}, .path = {}};
  std::string_view path = text.substr(equals + 1);
  if (const auto colon = path.rfind(':'); colon != std::string_view::npos) {
    entry.strength = TRY(parse_strength(path.substr(colon + 1)));
    path = path.substr(0, colon);
  }
  entry.path = path;
  TRY(check_adapters({entry}));
  return entry;
}

}  // namespace inference
