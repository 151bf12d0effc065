#include "net/curl_handle.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <stop_token>

#include "base/assert.h"
#include "net/http_syntax.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using std::chrono::milliseconds;

constexpr long kReceiveBufferBytes = 128 << 10;
constexpr long kUploadBufferBytes = 128 << 10;
/// Connections one handle keeps.
constexpr long kMaxKeptConnections = 4;
constexpr long kKeepAliveProbeSeconds = 60;
/// Longest sleep between two looks at the clock.
constexpr milliseconds kMaxPoll{10'000};
/// A redirect's own body beyond this ends its connection.
constexpr std::size_t kMaxIntermediateBytes = 256 << 10;

struct CurlDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using UrlPtr = std::unique_ptr<CURLU, CurlDeleter>;
using ListPtr = std::unique_ptr<curl_slist, CurlDeleter>;

void append(ListPtr& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  ASSERT(longer != nullptr);  // Out of memory.
  (void)list.release();
  list.reset(longer);
}

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, CurlDeleter> owned(text);
  return text;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return ErrorCode::Unauthorized;
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::Timeout;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return ErrorCode::Invalid;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
      return ErrorCode::Internal;
    default:
      return ErrorCode::Unavailable;
  }
}

/// `GET http://host:80/path`, without query and credentials, which may be secret.
std::string describe(const HttpHop& hop) {
  const std::size_t begin = hop.url.find("://");
  const std::size_t path =
      begin == std::string::npos ? begin : hop.url.find_first_of("/?#", begin + 3);
  std::string_view shown = path == std::string::npos ? "" : std::string_view(hop.url).substr(path);
  shown = shown.substr(0, shown.find_first_of("?#"));
  return fmt::format("{} {}://{}:{}{}", hop.method, hop.origin.scheme, hop.origin.host,
                     hop.origin.port, shown);
}

/// `192.0.2.1` or `2001:db8::1`; "" for sockets that have no IP address.
std::string numeric_address(const curl_sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.family == AF_INET)
    bytes = &reinterpret_cast<const sockaddr_in*>(&address.addr)->sin_addr;
  if (address.family == AF_INET6)
    bytes = &reinterpret_cast<const sockaddr_in6*>(&address.addr)->sin6_addr;
  if (bytes == nullptr) return {};
  const char* written = ::inet_ntop(address.family, bytes, text.data(), text.size());
  return written == nullptr ? std::string() : written;
}

/// The host when it is a numeric address, without brackets; else "".
std::string numeric_host(std::string host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  const bool numeric = ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
                       ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
  return numeric ? host : std::string();
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<HttpOrigin> HttpOrigin::of(const std::string& url) {
  const UrlPtr parsed(curl_url());
  ASSERT(parsed != nullptr);
  const CURLUcode code = curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0);
  HttpOrigin origin;
  if (code == CURLUE_OK) {
    origin = {part_of(parsed.get(), CURLUPART_SCHEME), part_of(parsed.get(), CURLUPART_HOST),
              part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  }
  if ((origin.scheme != "http" && origin.scheme != "https") || origin.host.empty()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("'{}' is not an http or https URL", url.substr(0, url.find('?'))));
  }
  return origin;
}

/// What the callbacks of one hop share.
struct CurlHandle::Transfer {
  explicit Transfer(const HttpHop& of) : hop(of) {}
  const HttpHop& hop;
  HttpResponse head;
  bool head_done = false;
  bool intermediate = false;
  std::size_t intermediate_bytes = 0;
  std::size_t body_sent = 0;
  std::optional<Error> error;  ///< Of a callback of the caller; it ends the transfer.
  base::SteadyTime last_progress = std::chrono::steady_clock::now();
  std::array<char, CURL_ERROR_SIZE> message{};
  ListPtr fields;
  ListPtr connect_to;
  std::string url;

  bool accept(Status status) {
    if (!status) error = std::move(status).error();
    return status.has_value();
  }
  void moved() { last_progress = std::chrono::steady_clock::now(); }
  bool take_header_line(std::string_view line);
  bool take_head_end();
  bool take_body(std::string_view bytes);
  std::size_t give_body(std::span<char> buffer);

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    const std::string_view line(data, size * count);
    return static_cast<Transfer*>(self)->take_header_line(line) ? line.size() : 0;
  }
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    const std::string_view bytes(data, size * count);
    return static_cast<Transfer*>(self)->take_body(bytes) ? bytes.size() : CURL_WRITEFUNC_ERROR;
  }
  static std::size_t on_read(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->give_body(std::span(data, size * count));
  }
  /// libcurl's own sockets would be inherited by child processes.
  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& transfer = *static_cast<Transfer*>(self);
    const auto& check = transfer.hop.options.check_address;
    const std::string numeric = check ? numeric_address(*address) : std::string();
    if (!numeric.empty() && !transfer.accept(check(numeric))) return CURL_SOCKET_BAD;
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
  static int on_seek(void* self, curl_off_t offset, int origin) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.hop.body_source != nullptr || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    transfer.body_sent = static_cast<std::size_t>(offset);
    return CURL_SEEKFUNC_OK;
  }
};

bool CurlHandle::Transfer::take_header_line(std::string_view line) {
  moved();
  if (head_done) return true;  // A trailer.
  if (line.starts_with("HTTP/")) {
    head = {};
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos)
      std::from_chars(line.data() + space + 1, line.data() + line.size(), head.status);
    return true;
  }
  line = trimmed(line);
  if (line.empty()) return take_head_end();
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos)
    head.headers.add(std::string(line.substr(0, colon)),
                     std::string(trimmed(line.substr(colon + 1))));
  return true;
}

bool CurlHandle::Transfer::take_head_end() {
  if (head.status < 200) return true;  // 100 Continue: another head follows.
  head_done = true;
  intermediate = hop.is_intermediate(head);
  if (intermediate || !hop.sink.on_head) return true;
  return accept(hop.sink.on_head(head));
}

bool CurlHandle::Transfer::take_body(std::string_view bytes) {
  moved();
  if (intermediate) {
    intermediate_bytes += bytes.size();
    return intermediate_bytes <= kMaxIntermediateBytes;
  }
  return !hop.sink.on_body || accept(hop.sink.on_body(bytes));
}

std::size_t CurlHandle::Transfer::give_body(std::span<char> buffer) {
  moved();
  if (hop.body_source == nullptr) {
    const std::size_t count = std::min(buffer.size(), hop.body.size() - body_sent);
    std::memcpy(buffer.data(), hop.body.data() + body_sent, count);
    body_sent += count;
    return count;
  }
  if (hop.body_source_bytes) {
    const std::uint64_t left = *hop.body_source_bytes - body_sent;
    buffer = buffer.first(std::min<std::uint64_t>(buffer.size(), left));
    if (buffer.empty()) return 0;
  }
  Result<std::size_t> given = (*hop.body_source)(buffer);
  if (given && *given == 0 && hop.body_source_bytes) {
    given = Error(ErrorCode::Invalid, fmt::format("the body ended after {} of {} bytes", body_sent,
                                                  *hop.body_source_bytes));
  }
  if (!given) {
    error = std::move(given).error();
    return CURL_READFUNC_ABORT;
  }
  moved();
  body_sent += *given;
  return *given;
}

Result<std::unique_ptr<CurlHandle>> CurlHandle::create() {
  CURL* easy = curl_easy_init();
  CURLM* multi = curl_multi_init();
  if (easy == nullptr || multi == nullptr) {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    return Error(ErrorCode::Internal, "libcurl cannot start a transfer");
  }
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kMaxKeptConnections);
  return std::unique_ptr<CurlHandle>(new CurlHandle(easy, multi));
}

CurlHandle::~CurlHandle() {
  curl_easy_cleanup(easy_);
  curl_multi_cleanup(multi_);
}

template <class T>
void CurlHandle::set(CURLoption option, T value) {
  // Fails for options this libcurl lacks or when out of memory; neither happens at run time.
  const CURLcode code = curl_easy_setopt(easy_, option, value);
  ASSERT(code == CURLE_OK);
}

void CurlHandle::set_up(const HttpHop& hop, Transfer& transfer) {
  const HttpClient::Options& options = hop.options;
  curl_easy_reset(easy_);
  transfer.url = hop.url;
  for (const auto& [name, value] : hop.headers)
    append(transfer.fields, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  append(transfer.fields, "Expect:");
  if (hop.origin.scheme == "https") set_up_tls(hop);
  if (hop.trusted && !options.tls.server_name.empty()) set_up_server_name(hop, transfer);
  set_up_body(hop, transfer);
  set(CURLOPT_URL, transfer.url.c_str());
  set(CURLOPT_HTTPHEADER, transfer.fields.get());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_ERRORBUFFER, transfer.message.data());
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open_socket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&transfer));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, kKeepAliveProbeSeconds);
  set(CURLOPT_TCP_KEEPINTVL, kKeepAliveProbeSeconds);
  if (!options.use_environment_proxy) set(CURLOPT_PROXY, "");
  if (!options.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
}

void CurlHandle::set_up_body(const HttpHop& hop, Transfer& transfer) {
  if (hop.body_source != nullptr || !hop.body.empty()) {
    std::int64_t size =
        hop.body_source != nullptr ? -1 : static_cast<std::int64_t>(hop.body.size());
    if (hop.body_source_bytes) size = static_cast<std::int64_t>(*hop.body_source_bytes);
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
    set(CURLOPT_READFUNCTION, &Transfer::on_read);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
    set(CURLOPT_SEEKFUNCTION, &Transfer::on_seek);
    set(CURLOPT_SEEKDATA, static_cast<void*>(&transfer));
  } else if (hop.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
    return;
  } else if (hop.method == "POST" || hop.method == "PUT" || hop.method == "PATCH") {
    // Says Content-Length: 0, which some servers insist on.
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDS, "");
    set(CURLOPT_POSTFIELDSIZE, 0L);
    if (!hop.headers.get("Content-Type")) append(transfer.fields, "Content-Type:");
  } else {
    set(CURLOPT_HTTPGET, 1L);
  }
  set(CURLOPT_CUSTOMREQUEST, hop.method.c_str());
}

void CurlHandle::set_up_tls(const HttpHop& hop) {
  const TlsClientOptions& tls = hop.options.tls;
  const auto blob = [](const std::string& text) {
    return curl_blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
  };
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!tls.ca_pem.empty()) {
    curl_blob roots = blob(tls.ca_pem);
    // Without these two the system's roots would be trusted as well.
    set(CURLOPT_CAINFO, static_cast<const char*>(nullptr));
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    set(CURLOPT_CAINFO_BLOB, &roots);
  }
  if (hop.trusted && !tls.cert_pem.empty()) {
    curl_blob certificate = blob(tls.cert_pem);
    curl_blob key = blob(tls.key_pem);
    set(CURLOPT_SSLCERTTYPE, "PEM");
    set(CURLOPT_SSLKEYTYPE, "PEM");
    set(CURLOPT_SSLCERT_BLOB, &certificate);
    set(CURLOPT_SSLKEY_BLOB, &key);
  }
  if (tls.insecure_skip_verify) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

/// libcurl verifies the host of the URL, so the URL names the wanted one and the connection is sent
/// where the caller's URL points.
void CurlHandle::set_up_server_name(const HttpHop& hop, Transfer& transfer) {
  const std::string& name = hop.options.tls.server_name;
  const UrlPtr url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, hop.url.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_HOST, name.c_str(), 0) != CURLUE_OK) {
    return;
  }
  transfer.url = part_of(url.get(), CURLUPART_URL);
  append(transfer.connect_to,
         fmt::format("{}:{}:{}:{}", name, hop.origin.port, hop.origin.host, hop.origin.port));
  set(CURLOPT_CONNECT_TO, transfer.connect_to.get());
  if (!hop.headers.get("Host"))
    append(transfer.fields, fmt::format("Host: {}:{}", hop.origin.host, hop.origin.port));
}

Result<HttpResponse> CurlHandle::perform(const base::Context& ctx, const HttpHop& hop) {
  TRY(ctx.check());
  if (hop.options.check_address) {
    const std::string numeric = numeric_host(hop.origin.host);
    if (!numeric.empty()) TRY(hop.options.check_address(numeric));
  }
  Transfer transfer(hop);
  set_up(hop, transfer);
  last_origin_ = hop.origin;
  curl_multi_add_handle(multi_, easy_);
  auto ended = run(ctx, hop, transfer);
  curl_multi_remove_handle(multi_, easy_);
  if (transfer.error) return *std::move(transfer.error);
  if (!ended) return std::move(ended).error().context(describe(hop));
  const bool cut = *ended == CURLE_WRITE_ERROR && transfer.intermediate;
  if (*ended != CURLE_OK && !cut) {
    const char* message =
        transfer.message[0] != '\0' ? transfer.message.data() : curl_easy_strerror(*ended);
    return Error(code_of(*ended), message).context(describe(hop));
  }
  if (!transfer.head_done)
    return Error(ErrorCode::Unavailable, "the server sent no response").context(describe(hop));
  return std::move(transfer.head);
}

/// Drives the transfer until it ends by itself (its code) or by the context (an error).
Result<CURLcode> CurlHandle::run(const base::Context& ctx, const HttpHop& hop, Transfer& transfer) {
  const milliseconds stall = hop.options.stall_timeout;
  const std::stop_callback wake(ctx.stop(), [this] { curl_multi_wakeup(multi_); });
  for (;;) {
    int running = 0;
    CURLMcode code = curl_multi_perform(multi_, &running);
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    TRY(ctx.check());
    auto wait = std::min<std::chrono::nanoseconds>(kMaxPoll, ctx.remaining());
    if (stall.count() > 0) {
      const auto quiet = std::chrono::steady_clock::now() - transfer.last_progress;
      if (quiet >= stall) {
        return Error(ErrorCode::Timeout, fmt::format("no byte moved for {} ms", stall.count()));
      }
      wait = std::min<std::chrono::nanoseconds>(wait, stall - quiet);
    }
    const auto wait_ms = std::chrono::ceil<milliseconds>(wait).count();
    if (code == CURLM_OK)
      code = curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait_ms), nullptr);
    if (code != CURLM_OK) return Error(ErrorCode::Internal, curl_multi_strerror(code));
  }
}

}  // namespace net
