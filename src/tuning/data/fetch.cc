#include "tuning/data/fetch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <set>
#include <system_error>

#include "base/encoding.h"
#include "base/file.h"
#include "base/sha256.h"
#include "json/value.h"
#include "net/http_client.h"
#include "tuning/data/row_reader.h"

namespace tuning {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr int kMaxRedirects = 10;
constexpr std::size_t kMaxNameBytes = 200;
constexpr std::size_t kSniffedBytes = 512;
constexpr std::size_t kMaxCaBytes = 16 << 20;
constexpr std::chrono::milliseconds kProgressInterval{500};
constexpr const char* kSourcesFile = ".sources.json";

/// Addresses outside the link-local ranges at which clouds hand out credentials.
constexpr std::array<std::string_view, 3> kMetadataAddresses = {"168.63.129.16", "100.100.100.200",
                                                                "192.0.0.192"};

std::string without_query(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  // Credentials before the host are secrets too.
  const std::size_t begin = url.find("://");
  if (begin == std::string_view::npos) return std::string(url);
  const std::size_t host_end = std::min(url.find('/', begin + 3), url.size());
  const std::size_t at = url.substr(0, host_end).rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return std::string(url.substr(0, begin + 3)).append(url.substr(at + 1));
}

Error status_error(int status) {
  const std::string what =
      fmt::format("the server answered {} {}", status, net::reason_phrase(status));
  ErrorCode code = ErrorCode::Invalid;
  std::string hint;
  if (status == 404 || status == 410) code = ErrorCode::NotFound;
  if (status == 401 || status == 403) {
    code = ErrorCode::Forbidden;
    hint = "; the data must be public, or the URL must carry its own token";
  }
  if (status == 408 || status == 429 || status >= 500) code = ErrorCode::Unavailable;
  return Error(code, what + hint).with_http_status(status);
}

/// One file on its way from the network to the disk.
class Download {
 public:
  Download(const FetchOptions& options, std::string name)
      : options_(options),
        name_(std::move(name)),
        partial_(options.folder / ("." + name_ + ".part")) {}
  ~Download() {
    std::error_code ignored;
    fs::remove(partial_, ignored);
  }

  Status begin() {
    file_.reset(::open(partial_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
    if (!file_) return base::system_error(fmt::format("creating {}", partial_.string()), errno);
    bytes_ = total_ = 0;
    head_.clear();
    digest_ = {};
    return {};
  }

  Status take_head(const net::HttpResponse& head) {
    if (head.status != 200) return status_error(head.status);
    content_type_ = net::media_type(head.headers.get_or("Content-Type", ""));
    const std::string_view length = head.headers.get_or("Content-Length", "");
    std::from_chars(length.data(), length.data() + length.size(), total_);
    return check_size(total_);
  }

  Status take_body(std::string_view part) {
    TRY(check_size(bytes_ + part.size()));
    if (head_.size() < kSniffedBytes) head_.append(part.substr(0, kSniffedBytes - head_.size()));
    digest_.update(part);
    TRY(base::with_context(base::write_all(file_.get(), part),
                           fmt::format("writing {}", partial_.string())));
    bytes_ += part.size();
    const auto now = std::chrono::steady_clock::now();
    if (options_.on_progress && now - reported_ >= kProgressInterval) {
      reported_ = now;
      options_.on_progress(name_, bytes_, total_);
    }
    return {};
  }

  /// Looks at what came and gives it its name.
  Result<FetchedFile> finish() {
    if (bytes_ == 0) return Error(ErrorCode::Invalid, "the answer is empty");
    if (looks_like_html(head_)) {
      return Error(
          ErrorCode::Invalid,
          "the answer is an HTML page, not data; the URL may be that of the page about the "
          "file (on Hugging Face use /resolve/ instead of /blob/), or need a login");
    }
    if (::fsync(file_.get()) != 0)
      return base::system_error(fmt::format("writing {}", partial_.string()), errno);
    FetchedFile done{.url = {},
                     .path = options_.folder / (name_ + missing_ending()),
                     .bytes = bytes_,
                     .sha256 = digest_.finish_hex()};
    std::error_code error;
    fs::rename(partial_, done.path, error);
    if (error)
      return base::system_error(fmt::format("creating {}", done.path.string()), error.value());
    return done;
  }

 private:
  Status check_size(std::uint64_t bytes) const {
    if (bytes <= options_.max_bytes) return {};
    return Error(ErrorCode::Invalid,
                 fmt::format("the file is larger than {} bytes, the most that is fetched",
                             options_.max_bytes));
  }

  /// For names that do not say their format.
  std::string missing_ending() const {
    for (const std::string_view word : {"csv", "json", "parquet", "arrow"})
      if (name_.find(word) != std::string::npos) return {};
    if (head_.starts_with("PAR1")) return ".parquet";
    if (content_type_ == "text/csv") return ".csv";
    if (content_type_ == "application/json" || head_.starts_with('{') || head_.starts_with('['))
      return ".json";
    return {};
  }

  const FetchOptions& options_;
  const std::string name_;
  const fs::path partial_;
  base::UniqueFd file_;
  std::uint64_t bytes_ = 0;
  std::uint64_t total_ = 0;
  std::string head_;
  std::string content_type_;
  base::Sha256 digest_;
  std::chrono::steady_clock::time_point reported_{};
};

Result<FetchedFile> fetch_once(const base::Context& ctx, net::HttpClient& client,
                               const std::string& url, const std::string& name,
                               const FetchOptions& options) {
  Download download(options, name);
  TRY(download.begin());
  net::HttpClientRequest request;
  request.url = url;
  const net::HttpResponseSink sink{
      .on_head = [&](const net::HttpResponse& head) { return download.take_head(head); },
      .on_body = [&](std::string_view bytes) { return download.take_body(bytes); }};
  TRY(client.stream(ctx.with_timeout(options.time_limit), request, sink));
  return download.finish();
}

Result<FetchedFile> fetch_with_retries(const base::Context& ctx, net::HttpClient& client,
                                       const std::string& url, const std::string& name,
                                       const FetchOptions& options) {
  for (int attempt = 1;; ++attempt) {
    auto fetched = fetch_once(ctx, client, url, name, options);
    if (fetched) return fetched;
    const ErrorCode code = fetched.error().code();
    const bool again = base::is_retryable(code) || code == ErrorCode::Timeout;
    if (!again || attempt >= options.attempts || ctx.done()) {
      if (attempt == 1) return fetched;
      return std::move(fetched).error().context(fmt::format("attempt {}", attempt));
    }
    ctx.log().warn(
        "fetching failed; trying again",
        {{"url", without_query(url)}, {"attempt", attempt}, {"error", fetched.error().message()}});
    TRY(ctx.sleep(options.retry_wait));
  }
}

Result<std::unique_ptr<net::HttpClient>> make_client(const FetchOptions& options) {
  net::HttpClient::Options client{.stall_timeout = options.stall_limit,
                                  .max_redirects = kMaxRedirects,
                                  .use_environment_proxy = options.use_environment_proxy,
                                  .user_agent = "kaito-tuner"};
  if (!options.extra_ca_pem.empty()) {
    auto system = base::read_file(options.system_ca_file, kMaxCaBytes);
    client.tls.ca_pem = (system ? *system + "\n" : std::string()) + options.extra_ca_pem;
  }
  if (!options.allow_local_addresses) client.check_address = check_fetch_address;
  return net::HttpClient::create(std::move(client));
}

Status write_sources(const std::vector<FetchedFile>& files, const fs::path& folder) {
  json::Array list;
  for (const FetchedFile& file : files) {
    list.push_back(json::Object{{"url", file.url},
                                {"file", file.path.filename().string()},
                                {"bytes", file.bytes},
                                {"sha256", file.sha256}});
  }
  return base::write_file_atomic(folder / kSourcesFile, json::dump_pretty(list) + "\n", 0644);
}

}  // namespace

Status check_fetch_address(std::string_view numeric_address) {
  const std::string text(numeric_address);
  bool refused = false;
  in_addr four{};
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
      std::array<char, INET_ADDRSTRLEN> mapped{};
      ::inet_ntop(AF_INET, six.s6_addr + 12, mapped.data(), mapped.size());
      return check_fetch_address(mapped.data());
    }
    // fe80::/10, and fd00:ec2::254, where AWS keeps its metadata.
    refused = IN6_IS_ADDR_LINKLOCAL(&six) || text == "fd00:ec2::254";
  } else if (::inet_pton(AF_INET, text.c_str(), &four) == 1) {
    refused = (ntohl(four.s_addr) >> 16) == 0xA9FE;  // 169.254.0.0/16
  }
  refused = refused || std::find(kMetadataAddresses.begin(), kMetadataAddresses.end(),
                                 numeric_address) != kMetadataAddresses.end();
  if (!refused) return {};
  return Error(ErrorCode::Forbidden,
               fmt::format("{} is a link-local or metadata address, which data is not fetched from",
                           numeric_address));
}

std::string file_name_of(std::string_view url) {
  const std::string path = without_query(url);
  std::size_t begin = path.find("://");
  begin = path.find('/', begin == std::string::npos ? 0 : begin + 3);
  std::string name;
  if (begin != std::string::npos) name = path.substr(path.rfind('/') + 1);
  if (auto decoded = base::url_decode(name)) name = *std::move(decoded);
  for (char& c : name) {
    const bool harmless = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!harmless) c = '_';
  }
  name.erase(0, name.find_first_not_of('.'));
  if (name.size() > kMaxNameBytes) name.erase(0, name.size() - kMaxNameBytes);
  return name.empty() ? "data" : name;
}

Result<std::vector<FetchedFile>> fetch_files(const base::Context& ctx,
                                             const std::vector<std::string>& urls,
                                             const FetchOptions& options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error)
    return base::system_error(fmt::format("creating {}", options.folder.string()), error.value());
  const auto client = TRY(make_client(options));
  std::vector<FetchedFile> files;
  std::set<std::string> names;
  for (const std::string& url : urls) {
    const std::string shown = without_query(url);
    if (!url.starts_with("http://") && !url.starts_with("https://")) {
      return Error(ErrorCode::Invalid,
                   fmt::format("'{}' does not begin with http:// or https://", shown));
    }
    std::string name = file_name_of(url);
    if (!names.insert(name).second) {
      name = fmt::format("{}-{}", names.size() + 1, name);
      names.insert(name);
    }
    FetchedFile file = TRY(base::with_context(fetch_with_retries(ctx, *client, url, name, options),
                                              fmt::format("fetching {}", shown)));
    file.url = shown;
    ctx.log().info("fetched", {{"url", shown},
                               {"file", file.path.string()},
                               {"bytes", file.bytes},
                               {"sha256", file.sha256}});
    files.push_back(std::move(file));
    TRY(write_sources(files, options.folder));
  }
  return files;
}

}  // namespace tuning
