#include "model/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/file.h"

namespace model {

base::Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const auto failed = [&] {
    return base::system_error(fmt::format("reading {}", path.string()), errno);
  };
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return failed();
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return failed();
  if (!S_ISREG(facts.st_mode))
    return base::Error(base::ErrorCode::Invalid, fmt::format("{} is not a file", path.string()));
  MappedFile mapped;
  if (facts.st_size == 0) return mapped;
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) return failed();
  mapped.address_ = static_cast<std::byte*>(address);
  mapped.size_ = size;
  return mapped;
}

MappedFile::~MappedFile() {
  if (address_) ::munmap(address_, size_);
}

}  // namespace model
