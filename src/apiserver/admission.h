#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/resources/api_error.h"
#include "json/value.h"

namespace apiserver {

enum class Operation { Create, Update, Delete };

/// One write before it is stored. Views live during the call.
struct AdmissionRequest {
  Operation operation = Operation::Create;
  std::string_view group{};
  std::string_view version{};  ///< Of the request; `object` and `old_object` are in it.
  std::string_view plural{};
  std::string_view kind{};
  std::string_view subresource{};  ///< "", `status`, `scale`, ...
  std::string_view ns{};
  std::string_view name{};
  std::string_view user{};
  bool dry_run = false;
  const json::Value* object = nullptr;      ///< None for Delete.
  const json::Value* old_object = nullptr;  ///< None for Create.
};

struct AdmissionResult {
  bool allowed = true;
  int code = 403;  ///< When refused: 403 Forbidden or 422 Invalid (with causes).
  std::string message{};
  std::vector<Cause> causes{};
  std::optional<json::Value> object{};  ///< The object as it shall be; only from Mutate.
  std::vector<std::string> warnings{};  ///< Shown to the user by kubectl.
};

/// Called on request threads, several at once; must be quick and must not call the API server.
using Admission = std::function<AdmissionResult(const AdmissionRequest&)>;

/// Mutate runs before the schema's validation, Validate after it.
enum class AdmissionPhase { Mutate, Validate };

struct AdmissionRegistration {
  std::string group{};
  std::string plural{};
  AdmissionPhase phase = AdmissionPhase::Validate;
  Admission admission{};
};

}  // namespace apiserver
