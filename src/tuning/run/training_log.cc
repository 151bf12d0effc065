#include "tuning/run/training_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace tuning {

base::Result<TrainingLog> TrainingLog::open(const std::filesystem::path& file,
                                            std::uint64_t keep_bytes) {
  base::UniqueFd fd(::open(file.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0)
    return base::system_error(fmt::format("opening {}", file.string()), errno);
  const auto bytes = std::min(static_cast<std::uint64_t>(status.st_size), keep_bytes);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return base::system_error(fmt::format("writing {}", file.string()), errno);
  return TrainingLog(std::move(fd), bytes);
}

base::Status TrainingLog::append(std::string_view json_line) {
  const std::string line = std::string(json_line) + "\n";
  TRY(base::with_context(base::write_all(fd_.get(), line), "writing the training log"));
  bytes_ += line.size();
  return {};
}

}  // namespace tuning
