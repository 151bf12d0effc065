#include "net/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <vector>

#include "base/guarded.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Status;

constexpr std::size_t kMaxIdleHandles = 16;
constexpr int kMaxPollMs = 1000;

/// An easy handle with the multi handle that drives it; together they keep their connections.
struct Handle {
  CURL* easy = ::curl_easy_init();
  CURLM* multi = ::curl_multi_init();
  Handle() = default;
  ~Handle() {
    ::curl_easy_cleanup(easy);
    ::curl_multi_cleanup(multi);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { ::curl_slist_free_all(list); }
  void add(const std::string& line) { list = ::curl_slist_append(list, line.c_str()); }
};

/// What the callbacks of one transfer share.
struct Transfer {
  const HttpClientRequest& request;
  const HttpResponseSink& sink;
  HttpResponse head;
  std::size_t body_offset = 0;
  bool head_given = false;
  std::optional<Error> failure;

  bool give_head(CURL* easy) {
    if (head_given) return true;
    head_given = true;
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    head.status = static_cast<int>(status);
    if (!sink.on_head) return true;
    if (Status given = sink.on_head(head); !given) {
      failure = std::move(given).error();
      return false;
    }
    return true;
  }
};

struct BodyContext {
  Transfer* transfer;
  CURL* easy;
};

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  Transfer& transfer = *static_cast<BodyContext*>(user)->transfer;
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    transfer.head.headers = {};  // A new head: after a redirect or 100 Continue.
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    transfer.head.headers.add(std::string(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1))));
  }
  return size * count;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  const auto& context = *static_cast<BodyContext*>(user);
  Transfer& transfer = *context.transfer;
  if (!transfer.give_head(context.easy)) return 0;
  if (transfer.sink.on_body) {
    if (Status taken = transfer.sink.on_body({data, size * count}); !taken) {
      transfer.failure = std::move(taken).error();
      return 0;
    }
  }
  return size * count;
}

std::size_t on_upload(char* data, std::size_t size, std::size_t count, void* user) {
  Transfer& transfer = *static_cast<BodyContext*>(user)->transfer;
  const std::size_t room = size * count;
  if (transfer.request.body_source) {
    auto got = transfer.request.body_source({data, room});
    if (got) return *got;
    transfer.failure = std::move(got).error();
    return CURL_READFUNC_ABORT;
  }
  const std::string& body = transfer.request.body;
  const std::size_t step = std::min(room, body.size() - transfer.body_offset);
  std::copy_n(body.data() + transfer.body_offset, step, data);
  transfer.body_offset += step;
  return step;
}

int on_seek(void* user, curl_off_t offset, int origin) {
  Transfer& transfer = *static_cast<BodyContext*>(user)->transfer;
  if (transfer.request.body_source || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer.body_offset = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

std::string host_of(const std::string& url) {
  const auto start = url.find("://");
  if (start == std::string::npos) return url;
  return url.substr(start + 3, url.find('/', start + 3) - start - 3);
}

Error curl_error(CURLcode code, const std::string& url, const char* detail) {
  ErrorCode kind = ErrorCode::Unavailable;
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS: kind = ErrorCode::Invalid; break;
    case CURLE_OPERATION_TIMEDOUT: kind = ErrorCode::Timeout; break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE: kind = ErrorCode::Unauthorized; break;
    default: break;
  }
  return Error(kind, fmt::format("{}: {}", host_of(url), *detail ? detail : ::curl_easy_strerror(code)));
}

class Client final : public HttpClient {
 public:
  explicit Client(Options options) : options_(std::move(options)) {}

  base::Result<HttpResponse> send(const base::Context& ctx, const HttpClientRequest& request) override {
    std::string body;
    HttpResponseSink sink;
    sink.on_body = [&](std::string_view bytes) -> Status {
      if (body.size() + bytes.size() > options_.max_response_bytes) {
        return Error(ErrorCode::Invalid, fmt::format("{}: the answer is larger than {} bytes", host_of(request.url), options_.max_response_bytes));
      }
      body += bytes;
      return {};
    };
    HttpResponse response = TRY(stream(ctx, request, sink));
    response.body = std::move(body);
    return response;
  }

  base::Result<HttpResponse> stream(const base::Context& ctx, const HttpClientRequest& request, const HttpResponseSink& sink) override {
    TRY(ctx.check());
    std::unique_ptr<Handle> handle = take_handle();
    ::curl_easy_reset(handle->easy);
    Transfer transfer{request, sink, {}, 0, false, {}};
    BodyContext context{&transfer, handle->easy};
    HeaderList headers;
    char detail[CURL_ERROR_SIZE] = {};
    configure(*handle, request, context, headers, detail);
    Status driven = drive(ctx, *handle, transfer, request.url, detail);
    const bool head_good = driven.has_value() && transfer.give_head(handle->easy);
    // A handle whose transfer broke is not kept: its connection is in an unknown state.
    if (driven) give_back(std::move(handle));
    if (transfer.failure) return *std::move(transfer.failure);
    if (!driven || !head_good) return std::move(driven).error();
    return std::move(transfer.head);
  }

 private:
  std::unique_ptr<Handle> take_handle() {
    auto kept = idle_.with([](auto& idle) -> std::unique_ptr<Handle> {
      if (idle.empty()) return nullptr;
      auto handle = std::move(idle.back());
      idle.pop_back();
      return handle;
    });
    return kept ? std::move(kept) : std::make_unique<Handle>();
  }

  void give_back(std::unique_ptr<Handle> handle) {
    idle_.with([&](auto& idle) {
      if (idle.size() < kMaxIdleHandles) idle.push_back(std::move(handle));
    });
  }

  void configure(Handle& handle, const HttpClientRequest& request, BodyContext& context, HeaderList& headers, char* detail) {
    CURL* easy = handle.easy;
    const auto set = [&](CURLoption option, auto value) { ::curl_easy_setopt(easy, option, value); };
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_ERRORBUFFER, detail);
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, options_.max_redirects > 0 ? 1L : 0L);
    set(CURLOPT_MAXREDIRS, static_cast<long>(options_.max_redirects));
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    if (!options_.use_environment_proxy) set(CURLOPT_PROXY, "");
    if (!options_.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket.c_str());
    if (options_.stall_timeout.count() > 0) {
      set(CURLOPT_LOW_SPEED_LIMIT, 1L);
      set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(options_.stall_timeout.count() / 1000)));
    }
    configure_tls(easy);
    configure_method(easy, request);
    for (const auto& [name, value] : request.headers) headers.add(value.empty() ? name + ";" : name + ": " + value);
    headers.add("Expect:");
    set(CURLOPT_HTTPHEADER, headers.list);
    set(CURLOPT_HEADERFUNCTION, on_header);
    set(CURLOPT_HEADERDATA, &context);
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, &context);
    set(CURLOPT_READFUNCTION, on_upload);
    set(CURLOPT_READDATA, &context);
    set(CURLOPT_SEEKFUNCTION, on_seek);
    set(CURLOPT_SEEKDATA, &context);
  }

  void configure_tls(CURL* easy) {
    const auto blob = [&](CURLoption option, const std::string& pem) {
      if (pem.empty()) return;
      // The options outlive every transfer, so curl need not copy.
      curl_blob data{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
      ::curl_easy_setopt(easy, option, &data);
    };
    blob(CURLOPT_CAINFO_BLOB, options_.tls.ca_pem);
    blob(CURLOPT_SSLCERT_BLOB, options_.tls.cert_pem);
    blob(CURLOPT_SSLKEY_BLOB, options_.tls.key_pem);
    ::curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (options_.tls.insecure_skip_verify) {
      ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
  }

  static void configure_method(CURL* easy, const HttpClientRequest& request) {
    const bool has_body = request.body_source || !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    if (request.method == "HEAD") {
      ::curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (has_body) {
      ::curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
      if (!request.body_source) {
        ::curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      } else if (request.body_source_bytes) {
        ::curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(*request.body_source_bytes));
      }
      ::curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    } else {
      ::curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  }

  /// Runs the transfer to its end, or to the end of the context.
  Status drive(const base::Context& ctx, Handle& handle, Transfer& transfer, const std::string& url, const char* detail) {
    ::curl_multi_add_handle(handle.multi, handle.easy);
    const std::stop_callback wake(ctx.stop(), [&] { ::curl_multi_wakeup(handle.multi); });
    Status result = [&]() -> Status {
      for (;;) {
        int running = 0;
        ::curl_multi_perform(handle.multi, &running);
        int left = 0;
        while (CURLMsg* message = ::curl_multi_info_read(handle.multi, &left)) {
          if (message->msg != CURLMSG_DONE) continue;
          if (transfer.failure) return *transfer.failure;
          if (message->data.result != CURLE_OK) return curl_error(message->data.result, url, detail);
          return {};
        }
        TRY(ctx.check());
        const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(std::min(ctx.remaining(), std::chrono::nanoseconds(std::chrono::milliseconds(kMaxPollMs))));
        ::curl_multi_poll(handle.multi, nullptr, 0, static_cast<int>(left_ms.count()), nullptr);
      }
    }();
    ::curl_multi_remove_handle(handle.multi, handle.easy);
    return result;
  }

  const Options options_;
  base::Guarded<std::vector<std::unique_ptr<Handle>>> idle_;
};

}  // namespace

base::Result<std::unique_ptr<HttpClient>> HttpClient::create(Options options) {
  static std::once_flag once;
  std::call_once(once, [] { ::curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (options.tls.cert_pem.empty() != options.tls.key_pem.empty()) {
    return Error(ErrorCode::Invalid, "a client certificate needs its key, and a key its certificate");
  }
  return std::unique_ptr<HttpClient>(std::make_unique<Client>(std::move(options)));
}

}  // namespace net
