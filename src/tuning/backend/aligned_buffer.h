#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace tuning {

/// Zeroed bytes that begin at a cache line, with room to read one vector past their end.
class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes);

  std::byte* data() { return bytes_.get(); }
  const std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes_.get());
  }
  /// At least `bytes`; what was there is lost when it has to grow.
  void ensure(std::size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t size_ = 0;
};

}  // namespace tuning
