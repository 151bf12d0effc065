#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "kube/rest/client.h"

/// Passes every call on and counts those that write. For tests that prove that nothing is written.
class CountingClient final : public kube::Client {
 public:
  explicit CountingClient(kube::Client& inner) : inner_(inner) {}

  std::uint64_t writes() const { return writes_; }

  base::Result<json::Value> get(const Context& ctx, const Type& type, const Key& key) override {
    return inner_.get(ctx, type, key);
  }
  base::Result<kube::ListResult> list(const Context& ctx, const Type& type,
                                      const kube::ListOptions& options) override {
    return inner_.list(ctx, type, options);
  }
  base::Result<kube::ListResult> list_each(
      const Context& ctx, const Type& type, const kube::ListOptions& options,
      const std::function<base::Status(json::Value)>& on_item) override {
    return inner_.list_each(ctx, type, options, on_item);
  }
  base::Result<json::Value> create(const Context& ctx, const Type& type, const json::Value& object,
                                   const kube::WriteOptions& options) override {
    ++writes_;
    return inner_.create(ctx, type, object, options);
  }
  base::Result<json::Value> update(const Context& ctx, const Type& type, const Key& key,
                                   const json::Value& object,
                                   const kube::WriteOptions& options) override {
    ++writes_;
    return inner_.update(ctx, type, key, object, options);
  }
  base::Result<json::Value> patch(const Context& ctx, const Type& type, const Key& key,
                                  kube::PatchType patch_type, const json::Value& patch,
                                  const kube::WriteOptions& options) override {
    ++writes_;
    return inner_.patch(ctx, type, key, patch_type, patch, options);
  }
  base::Status remove(const Context& ctx, const Type& type, const Key& key,
                      const kube::DeleteOptions& options) override {
    ++writes_;
    return inner_.remove(ctx, type, key, options);
  }
  base::Status watch(const Context& ctx, const Type& type, const kube::WatchOptions& options,
                     const std::function<base::Status(kube::WatchEvent)>& on_event) override {
    return inner_.watch(ctx, type, options, on_event);
  }
  base::Status get_raw(const Context& ctx, const std::string& path,
                       const std::function<base::Status(std::string_view)>& on_bytes) override {
    return inner_.get_raw(ctx, path, on_bytes);
  }

 private:
  kube::Client& inner_;
  std::atomic<std::uint64_t> writes_ = 0;
};
