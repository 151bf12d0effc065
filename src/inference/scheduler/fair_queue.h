#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace inference {

/// A bounded queue that serves clients in turn: one client's many entries wait behind its own first
/// one, not in front of another client's. First come, first served within a client.
template <class T>
class FairQueue {
 public:
  explicit FairQueue(std::size_t capacity) : capacity_(capacity) {}

  std::size_t size() const { return size_; }
  bool full() const { return size_ >= capacity_; }

  /// False when full: `item` is untouched.
  [[nodiscard]] bool push(const std::string& client, T&& item) {
    if (full()) return false;
    auto& waiting = clients_[client];
    if (waiting.empty()) turns_.push_back(client);
    waiting.push_back(std::move(item));
    ++size_;
    return true;
  }

  std::optional<T> pop() {
    if (size_ == 0) return std::nullopt;
    std::string client = std::move(turns_.front());
    turns_.pop_front();
    const auto found = clients_.find(client);
    std::optional<T> item(std::move(found->second.front()));
    found->second.pop_front();
    --size_;
    if (found->second.empty()) {
      clients_.erase(found);
    } else {
      turns_.push_back(std::move(client));
    }
    return item;
  }

  /// Takes out every item for which `gone` holds and hands it to `use`.
  template <class Gone, class Use>
  void remove_if(Gone gone, Use use) {
    for (auto client = clients_.begin(); client != clients_.end();) {
      auto& waiting = client->second;
      for (auto item = waiting.begin(); item != waiting.end();) {
        if (!gone(*item)) {
          ++item;
          continue;
        }
        use(std::move(*item));
        item = waiting.erase(item);
        --size_;
      }
      if (waiting.empty()) {
        std::erase(turns_, client->first);
        client = clients_.erase(client);
      } else {
        ++client;
      }
    }
  }

 private:
  std::size_t capacity_;
  std::size_t size_ = 0;
  std::map<std::string, std::deque<T>> clients_;
  std::deque<std::string> turns_;  ///< Every client that waits, once.
};

}  // namespace inference
