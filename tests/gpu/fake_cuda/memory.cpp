// Two ranges of the same size at a constant distance: tensors hold addresses of the first, which is
// PROT_NONE, so that host code that follows such an address dies at once; kernels work in the
// second. Fresh memory is all ones: NaN for floating-point types, so a kernel that reads what
// nobody wrote is seen in its result. A limit applies to each device by itself. Plain mmap, no
// memfd: a test of the program limits the size of files, which would hit a memfd too.
#include "memory.h"

#include <c10/util/Exception.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "settings.h"

namespace fake_cuda {
namespace {

constexpr std::size_t kBytes = std::size_t{64} << 30U;  // of address space, not of memory

char* reserve(int protection) {
  void* range =
      ::mmap(nullptr, kBytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TORCH_CHECK(range != MAP_FAILED, "fake CUDA: no address space");
  return static_cast<char*>(range);
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

Memory& Memory::get() {
  static Memory* memory =
      new Memory;  // never destroyed: tensors in static objects are released late
  return *memory;
}

Memory::Memory()
    : kernels_(reserve(PROT_READ | PROT_WRITE)),
      device_(reserve(PROT_NONE)),
      limit_(settings().limit_bytes),
      usage_(static_cast<std::size_t>(std::max(settings().devices, 1))) {
  give_back(0, kBytes);
}

// The smallest free piece that is large enough.
std::size_t Memory::take(std::size_t size) {
  const auto found = by_size_.lower_bound({size, 0});
  TORCH_CHECK(found != by_size_.end(), "fake CUDA: the address space is full");
  const auto [whole, offset] = *found;
  by_size_.erase(found);
  free_.erase(offset);
  if (whole > size) {
    free_.emplace(offset + size, whole - size);
    by_size_.emplace(whole - size, offset + size);
  }
  return offset;
}

// Joins the piece with its free neighbors.
void Memory::give_back(std::size_t offset, std::size_t size) {
  const auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + size) {
    size += next->second;
    by_size_.erase({next->second, next->first});
    free_.erase(next);
  }
  const auto after = free_.lower_bound(offset);
  if (after != free_.begin()) {
    const auto previous = std::prev(after);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      size += previous->second;
      by_size_.erase({previous->second, previous->first});
      free_.erase(previous);
    }
  }
  free_.emplace(offset, size);
  by_size_.emplace(size, offset);
}

void Memory::refuse(std::size_t bytes, int device) const {
  const Usage& usage = usage_.at(static_cast<std::size_t>(device));
  const std::size_t left = limit_ - std::min(limit_, usage.in_use);
  TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ", mib(bytes),
                   " MiB. GPU ", device, " has a total capacity of ", mib(limit_), " MiB of which ",
                   mib(left), " MiB is free (fake CUDA).");
  std::abort();  // not reached
}

void* Memory::allocate(std::size_t bytes, int device) {
  const std::size_t size = (std::max<std::size_t>(bytes, 1) + kGrain - 1) / kGrain * kGrain;
  std::size_t offset = 0;
  {
    const std::lock_guard guard(mutex_);
    Usage& usage = usage_.at(static_cast<std::size_t>(device));
    if (limit_ != 0 && usage.in_use + size > limit_) {
      ++usage.failures;
      refuse(bytes, device);
    }
    offset = take(size);
    used_.emplace(offset, Block{size, device});
    usage.in_use += size;
    usage.peak = std::max(usage.peak, usage.in_use);
    ++usage.allocations;
  }
  std::memset(kernels_ + offset, 0xFF, size);
  return device_ + offset;
}

void Memory::release(void* address) {
  const std::lock_guard guard(mutex_);
  const auto found =
      owns(address) ? used_.find(static_cast<std::size_t>(static_cast<char*>(address) - device_))
                    : used_.end();
  TORCH_CHECK(found != used_.end(),
              "fake CUDA: released memory that is not in use (a double free?)");
  usage_[static_cast<std::size_t>(found->second.device)].in_use -= found->second.size;
  give_back(found->first, found->second.size);
  used_.erase(found);
}

bool Memory::owns(const void* address) const {
  return address >= device_ && address < device_ + kBytes;
}

char* Memory::for_kernels(const void* address) const {
  TORCH_CHECK(owns(address), "fake CUDA: a CUDA tensor holds an address of the host");
  return kernels_ + (static_cast<const char*>(address) - device_);
}

Usage Memory::usage(int device) const {
  const std::lock_guard guard(mutex_);
  return usage_.at(static_cast<std::size_t>(device));
}

void Memory::reset_peak(int device) {
  const std::lock_guard guard(mutex_);
  Usage& usage = usage_.at(static_cast<std::size_t>(device));
  usage.peak = usage.in_use;
}

void Memory::set_limit(std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  limit_ = bytes;
}

std::pair<std::size_t, std::size_t> Memory::info(int device) const {
  const std::lock_guard guard(mutex_);
  const std::size_t total = limit_ != 0 ? limit_ : kBytes;
  const std::size_t in_use = usage_.at(static_cast<std::size_t>(device)).in_use;
  return {total - std::min(total, in_use), total};
}

namespace {

void on_touch(int, siginfo_t* info, void*) {
  const char* message = Memory::get().owns(info->si_addr)
                            ? "\nfake CUDA: host code touched device memory\n"
                            : "\nfake CUDA: segmentation fault, not in device memory\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message, std::strlen(message));
  void* frames[48];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, 48), STDERR_FILENO);
  ::signal(SIGSEGV, SIG_DFL);
  ::raise(SIGSEGV);
}

}  // namespace

void install_touch_handler() {
  Memory::get();
  void* frame = nullptr;
  ::backtrace(&frame, 1);  // loads what it needs now: the handler must not
  struct sigaction action {};
  action.sa_sigaction = &on_touch;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace fake_cuda
