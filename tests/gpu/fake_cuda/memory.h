// The memory of the fake devices: addresses that no host code may touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace fake_cuda {

struct Usage {
  std::size_t in_use = 0;
  std::size_t peak = 0;
  std::uint64_t allocations = 0;
  std::uint64_t failures = 0;  // out of memory
};

// One range of addresses for all devices. Thread-safe.
class Memory {
 public:
  static Memory& get();

  // Throws c10::OutOfMemoryError as CUDA does. The bytes are NaN in every floating-point type.
  void* allocate(std::size_t bytes, int device);
  // Throws c10::Error for an address that is not in use, a second release for one.
  void release(void* address);

  bool owns(const void* address) const;
  // Where kernels find what a tensor's address stands for.
  char* for_kernels(const void* address) const;

  Usage usage(int device) const;
  void reset_peak(int device);
  void set_limit(std::size_t bytes);
  // Free and total bytes of a device.
  std::pair<std::size_t, std::size_t> info(int device) const;

  static constexpr std::size_t kGrain = 512;  // as CUDA's caching allocator rounds

 private:
  struct Block {
    std::size_t size;
    int device;
  };
  Memory();
  std::size_t take(std::size_t size);
  void give_back(std::size_t offset, std::size_t size);
  [[noreturn]] void refuse(std::size_t bytes, int device) const;

  mutable std::mutex mutex_;
  char* kernels_ = nullptr;  // read and written by kernels
  char* device_ = nullptr;   // what tensors hold: PROT_NONE
  std::size_t limit_ = 0;
  std::map<std::size_t, Block> used_;                      // by offset
  std::map<std::size_t, std::size_t> free_;                // offset -> size
  std::set<std::pair<std::size_t, std::size_t>> by_size_;  // the same as (size, offset)
  std::vector<Usage> usage_;
};

// Prints where host code touched device memory, then lets the process die of it.
void install_touch_handler();

}  // namespace fake_cuda
