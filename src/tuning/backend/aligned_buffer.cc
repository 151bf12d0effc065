#include "tuning/backend/aligned_buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/assert.h"

namespace tuning {

AlignedBuffer::AlignedBuffer(std::size_t bytes) : size_(bytes) {
  const std::size_t whole = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, whole));
  ASSERT(memory != nullptr);
  std::memset(memory, 0, whole);
  bytes_.reset(memory);
}

void AlignedBuffer::ensure(std::size_t bytes) {
  if (bytes > size_) *this = AlignedBuffer(bytes);
}

void AlignedBuffer::Free::operator()(std::byte* bytes) const { std::free(bytes); }

}  // namespace tuning
