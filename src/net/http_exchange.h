#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http_server.h"
#include "net/request_reader.h"
#include "net/stream.h"

namespace net {

/// The exchange a handler sees, over one connection. Internal to `net`.
class ServerExchange final : public HttpExchange {
 public:
  struct Deps {
    Stream& stream;
    RequestReader& reader;
    const HttpRequestHead& request;
    std::chrono::milliseconds io_timeout;
    /// Asked when the answer's head is written: false ends the connection after this answer.
    std::function<bool()> may_keep_alive;
  };
  explicit ServerExchange(Deps deps) : deps_(std::move(deps)) {}

  const HttpRequestHead& request() const override { return deps_.request; }
  base::Result<std::string> read_body(std::size_t limit_bytes) override;
  base::Result<std::size_t> read_some(std::span<char> buffer) override;
  base::Status respond(HttpResponse response) override;
  base::Status send_file(HttpResponse head, const std::filesystem::path& file, std::uint64_t offset,
                         std::uint64_t length) override;
  base::Status start_stream(HttpResponse head) override;
  base::Status write(std::string_view chunk) override;
  bool client_gone() const override { return deps_.stream.peer_closed(); }
  bool answered() const override { return answer_ != Answer::None; }

  /// Ends an open stream and takes what is left of the request. True when the connection can carry
  /// another request.
  bool finish();
  /// The answer cannot be completed; the connection is of no further use.
  void abandon() { answer_ = Answer::Broken; }
  /// True when only a reset can show the client that the answer is cut.
  bool cut_is_invisible() const { return answer_ == Answer::Broken && !chunked_; }
  /// True when the client may still be sending: linger before closing.
  bool request_unread() const { return !deps_.reader.body_done(); }

 private:
  enum class Answer { None, Streaming, Complete, Broken };
  struct Framing {
    std::optional<std::uint64_t> length{};
    bool chunked = false;
  };

  base::Status send_continue_if_wanted();
  base::Status check_unanswered() const;
  base::Result<std::string> make_head(const HttpResponse& response, Framing framing);
  bool decide_keep_alive(const HttpResponse& response);
  bool is_head() const { return deps_.request.method == "HEAD"; }
  base::Status send(std::string_view head, std::string_view body, Answer next);

  Deps deps_;
  Answer answer_ = Answer::None;
  bool keep_alive_ = false;
  bool chunked_ = false;
  bool drop_body_ = false;
  bool continue_sent_ = false;
};

/// One line of plain text that ends the connection, for requests that reach no handler.
std::string closing_response(int status, std::string_view line, std::string_view extra_fields = "");

}  // namespace net
