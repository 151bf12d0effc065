#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "json/value.h"
#include "kube/rest/framing.h"
#include "kube/rest/status_error.h"

namespace {

constexpr std::size_t kLimitBytes = 4096;

struct Cut {
  bool ok = true;
  std::vector<std::string> parts;
  friend bool operator==(const Cut&, const Cut&) = default;
};

template <class Splitter>
Cut cut(std::string_view text, std::size_t chunk) {
  Cut result;
  Splitter splitter(kLimitBytes, [&](std::string_view part) -> base::Status {
    result.parts.emplace_back(part);
    return {};
  });
  while (!text.empty() && result.ok) {
    result.ok = splitter.feed(text.substr(0, chunk)).has_value();
    text.remove_prefix(std::min(chunk, text.size()));
  }
  return result;
}

}  // namespace

/// Lines of a watch and items of a list are the same however the network chunks them; what an API
/// server might send as an error never harms.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t chunk = size == 0 ? 1 : data[0] % 17 + 1;
  ASSERT(cut<kube::LineSplitter>(text, chunk) == cut<kube::LineSplitter>(text, text.size() + 1));
  const Cut items = cut<kube::ListSplitter>(text, chunk);
  ASSERT(items == cut<kube::ListSplitter>(text, text.size() + 1));
  (void)kube::status_error(500, {}, text);

  // What the splitter takes out of a valid list is what the list holds.
  const auto document = json::parse(text);
  const json::Array* wanted = document && items.ok ? json::find_array(*document, "items") : nullptr;
  if (!wanted || items.parts.size() != wanted->size()) return 0;
  for (std::size_t i = 0; i < items.parts.size(); ++i) {
    const auto item = json::parse(items.parts[i]);
    ASSERT(item && json::equal(*item, wanted->at(i)));
  }
  return 0;
}
