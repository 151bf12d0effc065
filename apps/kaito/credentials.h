#pragma once

#include <string>

#include "apps/kaito/data_dir.h"
#include "base/result.h"

namespace kaito {

/// What the API server of a data folder proves itself with and what its clients prove themselves with. Made at the
/// first start, kept in `tls/` (0600), renewed when it would expire within a month.
struct Credentials {
  std::string ca_pem;
  std::string server_cert_pem;
  std::string server_key_pem;
  std::string admin_token;   ///< The user's kubeconfig.
  std::string system_token;  ///< The parts of this process.
};

base::Result<Credentials> load_or_make_credentials(const DataDir& dir);

/// The text of a kubeconfig for the administrator.
std::string make_kubeconfig(const Credentials& credentials, const std::string& server);

}  // namespace kaito
