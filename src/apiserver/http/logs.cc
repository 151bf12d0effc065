#include <fmt/format.h>

#include <algorithm>

#include "apiserver/http/request.h"
#include "apiserver/objects/metadata.h"

/// GET of pods/log.
namespace apiserver {
namespace {

std::vector<std::string> container_names(const json::Value& pod) {
  std::vector<std::string> names;
  for (const char* path : {"spec.containers", "spec.initContainers"})
    if (const auto* list = json::find_array(pod, path))
      for (const auto& container : *list) names.emplace_back(json::find_string(container, "name"));
  return names;
}

ApiResult<std::string> container_of(const ApiRequest& request, const json::Value& pod,
                                    std::string_view name) {
  const auto names = container_names(pod);
  std::string wanted(request.param("container"));
  if (wanted.empty()) {
    const json::Object* annotations = json::find_object(pod, "metadata.annotations");
    if (annotations) wanted = text_of(*annotations, "kubectl.kubernetes.io/default-container");
  }
  const json::Array* main = json::find_array(pod, "spec.containers");
  if (wanted.empty() && main && main->size() == 1) wanted = names.front();
  if (wanted.empty())
    return bad_request(
        fmt::format("a container name must be specified for pod {}, choose one of: [{}]", name,
                    fmt::join(names, " ")));
  if (std::find(names.begin(), names.end(), wanted) == names.end())
    return bad_request(fmt::format("container {} is not valid for pod {}", wanted, name));
  return wanted;
}

ApiResult<PodLogRequest> log_request(const ApiRequest& request, const Target& target,
                                     const json::Value& pod) {
  PodLogRequest wanted;
  wanted.ns = target.ns;
  wanted.pod = target.name;
  wanted.uid = json::find_string(pod, "metadata.uid");
  wanted.container = TRY(container_of(request, pod, target.name));
  wanted.follow = flag_param(request, "follow");
  wanted.previous = flag_param(request, "previous");
  wanted.timestamps = flag_param(request, "timestamps");
  wanted.tail_lines = TRY(int_param(request, "tailLines"));
  wanted.since_seconds = TRY(int_param(request, "sinceSeconds"));
  wanted.since_time = request.param("sinceTime");
  wanted.limit_bytes = TRY(int_param(request, "limitBytes"));
  if (wanted.tail_lines && *wanted.tail_lines < 0)
    return bad_request("tailLines: must be greater than or equal to 0");
  if (wanted.limit_bytes && *wanted.limit_bytes < 1)
    return bad_request("limitBytes: must be greater than 0");
  return wanted;
}

net::HttpResponse text_head() {
  net::HttpResponse head;
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("Cache-Control", "no-cache, private");
  return head;
}

}  // namespace

ApiStatus handle_logs(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const ObjectRef pod = TRY(deps.engine.get(target));
  const PodLogRequest wanted = TRY(log_request(request, target, pod->value));
  if (!deps.logs)
    return status_error(501, "NotImplemented", "this server has no access to the logs of pods");
  bool started = false;
  const auto sink = [&](std::string_view piece) -> base::Status {
    if (request.exchange.client_gone())
      return base::Error(base::ErrorCode::Cancelled, "the client has gone");
    // Until there is output an error can still be told as one.
    if (piece.empty()) return {};
    if (!started) TRY(request.exchange.start_stream(text_head()));
    started = true;
    return request.exchange.write(piece);
  };
  const base::Status done = deps.logs->stream(request.ctx, wanted, sink);
  if (started) return {};
  if (!done && done.error().code() != base::ErrorCode::Cancelled)
    return bad_request(fmt::format("container \"{}\" in pod \"{}\": {}", wanted.container,
                                   target.name, done.error().message()));
  (void)request.exchange.respond(text_head());
  return {};
}

}  // namespace apiserver
