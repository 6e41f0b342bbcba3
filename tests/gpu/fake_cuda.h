// The fake CUDA device as tests see it. The device comes by LD_PRELOAD, so its functions are looked
// up while the program runs and are absent without it: a test asks is_there() and skips.
#pragma once

#include <dlfcn.h>

#include <cstdint>

extern "C" {
// All counts and the peak start anew.
void fake_cuda_reset();
// A counter ("kernels", "items", …: docs/gpu.md), or how often an operator ran ("aten::mm.out").
std::uint64_t fake_cuda_count(const char* name);
// Most bytes that tensors of a device held at one time, each rounded up to 512.
std::uint64_t fake_cuda_peak_bytes(int device);
// Bytes that a device has from now on; 0: no limit.
void fake_cuda_limit_bytes(std::uint64_t bytes);
// The device is lost after this many more kernels; below 0: it is there again.
void fake_cuda_lose_after(std::int64_t kernels);
// How many pinned buffers were changed before their copy had ended. Those are forgiven: the
// program's exit status no longer tells of them.
std::uint64_t fake_cuda_take_races();
}

namespace saferclip {

class FakeCuda {
 public:
  FakeCuda() {
    find("fake_cuda_reset", reset_);
    find("fake_cuda_count", count_);
    find("fake_cuda_peak_bytes", peak_bytes_);
    find("fake_cuda_limit_bytes", limit_bytes_);
    find("fake_cuda_lose_after", lose_after_);
    find("fake_cuda_take_races", take_races_);
  }
  bool is_there() const { return reset_ != nullptr; }

  void reset() const { reset_(); }
  std::uint64_t count(const char* name) const { return count_(name); }
  std::uint64_t peak_bytes(int device = 0) const { return peak_bytes_(device); }
  void limit_bytes(std::uint64_t bytes) const { limit_bytes_(bytes); }
  void lose_after(std::int64_t kernels) const { lose_after_(kernels); }
  std::uint64_t take_races() const { return take_races_(); }

 private:
  template <class Function>
  static void find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
  }

  decltype(&fake_cuda_reset) reset_ = nullptr;
  decltype(&fake_cuda_count) count_ = nullptr;
  decltype(&fake_cuda_peak_bytes) peak_bytes_ = nullptr;
  decltype(&fake_cuda_limit_bytes) limit_bytes_ = nullptr;
  decltype(&fake_cuda_lose_after) lose_after_ = nullptr;
  decltype(&fake_cuda_take_races) take_races_ = nullptr;
};

}  // namespace saferclip
