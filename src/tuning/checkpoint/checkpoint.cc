#include "tuning/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/sha256.h"
#include "json/value.h"
#include "model/mapped_file.h"

namespace tuning {
namespace {

constexpr std::string_view kMagic = "KAITOTC1";
constexpr std::size_t kDigestBytes = 64;
constexpr std::size_t kMaxHeaderBytes = 16 << 20;
constexpr std::size_t kPieceBytes = 1 << 20;

base::Error damaged(const std::filesystem::path& path, std::string_view what) {
  return {base::ErrorCode::Invalid,
          fmt::format("{}: {}; use an earlier checkpoint or start anew", path.string(), what)};
}

std::string_view bytes_of(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// Writes and hashes.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  base::Status put(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(kPieceBytes, bytes.size()))) {
      const auto piece = bytes.substr(0, kPieceBytes);
      hash_.update(piece);
      TRY(base::write_all(fd_, piece));
    }
    return {};
  }
  base::Status finish() { return base::write_all(fd_, hash_.finish_hex()); }

 private:
  int fd_;
  base::Sha256 hash_;
};

std::string header_of(const CheckpointView& checkpoint) {
  json::Object header;
  header["steps"] = checkpoint.steps;
  header["fingerprint"] = checkpoint.fingerprint;
  header["parameters"] = checkpoint.parameters.size();
  header["callerState"] = checkpoint.caller_state;
  return json::dump(header);
}

base::Status write_parts(int fd, const CheckpointView& checkpoint) {
  const std::string header = header_of(checkpoint);
  const std::uint64_t length = header.size();
  Output output(fd);
  TRY(output.put(kMagic));
  TRY(output.put({reinterpret_cast<const char*>(&length), sizeof(length)}));
  TRY(output.put(header));
  TRY(output.put(bytes_of(checkpoint.parameters)));
  TRY(output.put(bytes_of(checkpoint.first_moments)));
  TRY(output.put(bytes_of(checkpoint.second_moments)));
  return output.finish();
}

base::Status sync_folder(const std::filesystem::path& folder) {
  const base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return base::system_error(folder.string(), errno);
  return {};
}

}  // namespace

base::Status write_checkpoint(const std::filesystem::path& path, const CheckpointView& checkpoint) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return base::system_error(folder.string(), error.value());
  const std::filesystem::path temporary = path.string() + ".part";
  {
    const base::UniqueFd fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) return base::system_error(temporary.string(), errno);
    auto written = write_parts(fd.get(), checkpoint);
    if (written && ::fsync(fd.get()) != 0) {
      written = base::system_error(temporary.string(), errno);
    }
    if (!written) {
      ::unlink(temporary.c_str());
      return base::with_context(std::move(written), temporary.string());
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return base::system_error(path.string(), errno);
  }
  return sync_folder(folder);
}

base::Result<Checkpoint> read_checkpoint(const std::filesystem::path& path) {
  const auto file = TRY(model::MappedFile::open(path));
  std::string_view text = file.text();
  constexpr std::size_t kFront = kMagic.size() + sizeof(std::uint64_t);
  if (text.size() < kFront + kDigestBytes || !text.starts_with(kMagic)) {
    return damaged(path, "is no checkpoint");
  }
  const std::string_view digest = text.substr(text.size() - kDigestBytes);
  text.remove_suffix(kDigestBytes);
  if (base::sha256_hex(text) != digest) return damaged(path, "is damaged");
  std::uint64_t length = 0;
  std::memcpy(&length, text.data() + kMagic.size(), sizeof(length));
  text.remove_prefix(kFront);
  if (length > kMaxHeaderBytes || length > text.size()) return damaged(path, "is cut short");
  const json::Value header = TRY(base::with_context(
      json::parse(text.substr(0, length), {.max_bytes = kMaxHeaderBytes}), path.string()));
  text.remove_prefix(length);
  const auto steps = json::find_int(header, "steps");
  const auto count = json::find_int(header, "parameters");
  if (!steps || !count || *steps < 0 || *count < 0 ||
      text.size() != static_cast<std::size_t>(*count) * 3 * sizeof(float)) {
    return damaged(path, "has a header that does not fit it");
  }
  Checkpoint result;
  result.steps = static_cast<std::size_t>(*steps);
  result.fingerprint = json::find_string(header, "fingerprint");
  result.caller_state = json::find_string(header, "callerState");
  const auto take = [&](std::vector<float>& to) {
    to.resize(static_cast<std::size_t>(*count));
    std::memcpy(to.data(), text.data(), to.size() * sizeof(float));
    text.remove_prefix(to.size() * sizeof(float));
  };
  take(result.parameters);
  take(result.first_moments);
  take(result.second_moments);
  return result;
}

}  // namespace tuning
