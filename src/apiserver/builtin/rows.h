#pragma once

#include <string_view>
#include <vector>

#include "apiserver/resources/definition.h"

namespace apiserver {

/// What `kubectl get` shows of a built-in type.
struct TableView {
  std::vector<PrinterColumn> columns;
  RowFunction row;
};

/// Falls back to name and age for plurals that have no view of their own.
TableView table_view(std::string_view plural);

}  // namespace apiserver
