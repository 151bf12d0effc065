#include "apps/kaito/model_pull.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "apps/kaito/image_admin.h"
#include "apps/kaito/registry_access.h"
#include "apps/kaito/transfer_display.h"
#include "base/file.h"
#include "oci/failure.h"
#include "oci/model_image.h"

namespace kaito {

using base::Error;
using base::ErrorCode;

namespace {

constexpr const char* kTerminationLog = "/dev/termination-log";

/// Kubernetes shows this text in the pod's status. Only a file that is there already is meant for
/// us.
void write_termination_log(const std::string& reason) {
  const base::UniqueFd file(::open(kTerminationLog, O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (file) (void)base::write_all(file.get(), reason);
}

/// `127.0.0.1:5001/kaito-phi-3-mini-4k-instruct:0.1` -> `phi-3-mini-4k-instruct`
std::string preset_of(const oci::Reference& ref) {
  constexpr std::string_view kPrefix = "kaito-";
  const std::string name = ref.repository.substr(ref.repository.rfind('/') + 1);
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

std::string reason_of(const Error& error, ModelExit exit, const PullOptions& options) {
  if (exit == ModelExit::NotFound) {
    const auto ref = oci::Reference::parse(options.reference);
    return fmt::format(
        "model image {} not found in its registry; provide it with: kaito model import FILE --name "
        "{}",
        options.reference, ref ? preset_of(*ref) : "NAME");
  }
  return fmt::format("pulling model image {}: {}", options.reference, error.message());
}

base::Result<oci::PulledModel> pull(const base::Context& ctx, const PullOptions& options) {
  const oci::Reference ref = TRY(oci::Reference::parse(options.reference));
  oci::ContentStore::Options store_options;
  store_options.root = options.store;
  oci::ContentStore store = TRY(oci::ContentStore::open(std::move(store_options)));
  const auto client = TRY(make_registry_client(options.access));
  TransferDisplay display("pulling");
  return oci::pull_model(ctx, *client, ref, store, options.output, display.callback());
}

}  // namespace

int pull_model_image(const base::Context& ctx, const PullOptions& options) {
  fmt::print("pulling   {}\n", options.reference);
  std::fflush(stdout);
  const auto pulled = pull(ctx, options);
  if (!pulled) {
    const Error& error = pulled.error();
    const bool wrong_reference = !oci::Reference::parse(options.reference);
    const ModelExit exit = wrong_reference ? ModelExit::Usage : model_exit_of(error);
    const std::string reason = reason_of(error, exit, options);
    fmt::print(stderr, "error: {}\n", reason);
    if (exit != ModelExit::Interrupted) write_termination_log(reason);
    return static_cast<int>(exit);
  }
  fmt::print("pulled    {}: {} downloaded, {} in {} ({})\n", pulled->image.reference.text(),
             oci::format_bytes(pulled->downloaded_bytes),
             oci::format_bytes(pulled->image.total_bytes()), options.output,
             oci::to_string(pulled->placement));
  return 0;
}

}  // namespace kaito
