#include "apps/kaito/status_command.h"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <memory>
#include <thread>

#include "apps/kaito/data_dir.h"
#include "api/core/node.h"
#include "api/workspace/workspace.h"
#include "kube/rest/client.h"

namespace kaito {
namespace {

constexpr int kExitNotRunning = 3;
constexpr auto kRequestTimeout = std::chrono::seconds(5);

std::string_view condition_status(const std::vector<api::Condition>& conditions, std::string_view type) {
  const api::Condition* condition = api::find_condition(conditions, type);
  return condition ? std::string_view(condition->status) : "Unknown";
}

base::Status print_cluster(const DataDir& dir) {
  const base::Context ctx = base::Context().with_timeout(kRequestTimeout);
  const kube::RestConfig config = TRY(kube::RestConfig::from_kubeconfig_file(dir.kubeconfig()));
  const auto client = TRY(kube::Client::create(config));
  const auto nodes = TRY(kube::list<api::Node>(ctx, *client));
  fmt::print("nodes           {}\n", nodes.size());
  for (const api::Node& node : nodes) fmt::print("  {}\n", node.metadata.name);
  const auto workspaces = TRY(kube::list<api::Workspace>(ctx, *client));
  fmt::print("workspaces      {}\n", workspaces.size());
  for (const api::Workspace& workspace : workspaces) {
    const auto& conditions = workspace.status.conditions;
    fmt::print("  {:<40} ready {}\n", workspace.metadata.key().text(), condition_status(conditions, "WorkspaceReady"));
    if (const auto* ready = api::find_condition(conditions, "WorkspaceReady"); ready && ready->status != "True") {
      fmt::print("    {}: {}\n", ready->reason, ready->message);
    }
  }
  return {};
}

int status(const DataDir& dir, const std::string& output) {
  const auto info = read_run_info(dir);
  if (!info) return fail(info.error());
  if (!*info) {
    fmt::print(stderr, "kaito is not running in {}; start it with `kaito up --detach`\n", dir.root().string());
    return kExitNotRunning;
  }
  if (output == "kubeconfig") {
    fmt::print("{}\n", dir.kubeconfig().string());
    return 0;
  }
  if (output == "json") {
    fmt::print("{}\n", json::dump(json::Object{{"pid", (*info)->pid},
                                              {"server", (*info)->server},
                                              {"registry", (*info)->registry},
                                              {"startedAt", (*info)->started_at},
                                              {"kubeconfig", dir.kubeconfig().string()},
                                              {"log", dir.log().string()}}));
    return 0;
  }
  fmt::print("control plane   {}\nregistry        {}\nprocess         {}, since {}\nkubeconfig      {}\n", (*info)->server,
             (*info)->registry, (*info)->pid, (*info)->started_at, dir.kubeconfig().string());
  if (auto printed = print_cluster(dir); !printed) return fail(std::move(printed).error().context("asking the control plane"));
  return 0;
}

int down(const DataDir& dir, int timeout_seconds) {
  const auto info = read_run_info(dir);
  if (!info) return fail(info.error());
  if (!*info) {
    fmt::print("kaito is not running in {}\n", dir.root().string());
    return 0;
  }
  if (::kill((*info)->pid, SIGTERM) != 0) return fail(base::system_error("stopping kaito", errno));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_seconds);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto now = read_run_info(dir);
    if (now && (!*now || (*now)->pid != (*info)->pid)) {
      fmt::print("stopped; the state stays in {}\n", dir.root().string());
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return fail(base::Error(base::ErrorCode::Timeout,
                          fmt::format("process {} did not stop within {} s; see {}", (*info)->pid, timeout_seconds,
                                      dir.log().string())));
}

}  // namespace

void add_status_command(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("status", "Show what runs on this machine and how to reach it");
  add_data_dir_option(*command, session);
  auto output = std::make_shared<std::string>("text");
  command->add_option("-o,--output", *output, "text, json, or kubeconfig for the path of the kubeconfig alone")
      ->check(CLI::IsMember({"text", "json", "kubeconfig"}));
  command->callback([&session, output] { session.run = [&session, output] { return status(session.dir(), *output); }; });
}

void add_down_command(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("down", "Stop everything `kaito up` started; the state stays");
  add_data_dir_option(*command, session);
  auto timeout = std::make_shared<int>(60);
  command->add_option("--timeout", *timeout, "Seconds to wait for the end")->capture_default_str();
  command->callback([&session, timeout] { session.run = [&session, timeout] { return down(session.dir(), *timeout); }; });
}

}  // namespace kaito
