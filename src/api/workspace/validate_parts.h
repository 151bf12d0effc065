#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/workspace/validate.h"
#include "api/workspace/workspace.h"

/// Parts of the admission rules, for validate.cc only.
namespace api::validation {

using Errors = std::vector<json::FieldError>;

inline void add(Errors& errors, std::string path, std::string message) {
  errors.push_back({std::move(path), std::move(message)});
}

/// RFC 1123: lower-case letters, digits and '-', at most `max_bytes`.
bool is_dns_label(std::string_view text, std::size_t max_bytes);
/// Labels joined by dots, at most 253 bytes.
bool is_dns_subdomain(std::string_view text);
std::string lower(std::string text);

void check_resource(const Workspace& workspace, const ValidationDeps& deps, Errors& errors);
void check_instance_type(const ResourceSpec& resource, const ValidationDeps& deps, Errors& errors);
void check_inference(const Workspace& workspace, const ValidationDeps& deps, Errors& errors);
void check_adapters(const Workspace& workspace, Errors& errors);
void check_template(const json::Object& pod_template, Errors& errors);
void check_preset(const PresetSpec& preset, const std::string& path, const ValidationDeps& deps,
                  Errors& errors);
void check_tuning(const Workspace& workspace, const ValidationDeps& deps, Errors& errors);

/// The volume of a data source or destination: known members of the right type, exactly one kind.
void check_volume(const json::Object& volume, const std::string& path, Errors& errors);
/// What an image reference must have to be one. Upper case passes: the registry judges names.
void check_image(const std::string& image, const std::string& path, Errors& errors);
/// An absolute http or https address outside this machine and private networks.
void check_url(const std::string& url, const std::string& path, const ValidationDeps& deps,
               Errors& errors);

}  // namespace api::validation
