#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "apps/kaito/data_dir.h"

namespace kaito {

/// What every command shares. Commands set `run`; main calls it after parsing and exits with its value.
struct Session {
  std::string data_dir;  ///< --data-dir; "" is the default.
  std::function<int()> run;
  DataDir dir() const { return DataDir::choose(data_dir); }
};

/// Prints `error: MESSAGE` to standard error and returns 1.
int fail(const base::Error& error);

/// Adds --data-dir to a command.
void add_data_dir_option(CLI::App& command, Session& session);

}  // namespace kaito
