// A real stream copies when it comes to it; a program that does not wait works by luck. Here luck
// is taken away: the target of a copy is NaN until a kernel of the same stream needs it, or the
// host waits. An upload reads the host's buffer at the latest moment and compares a checksum, so a
// buffer that is reused too early is found even where a kernel has used the data already: that the
// kernel was asked for does not mean that it has run. A download takes the device's bytes at once,
// as later kernels of its stream come after it. On a stream of its own it must be ordered on both
// sides: after the kernel that wrote those bytes, and before the kernel that writes them again.
#include "transfers.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "counts.h"
#include "settings.h"

namespace fake_cuda {
namespace {

// FNV-1a over words: a changed byte changes it.
std::uint64_t checksum_of(const char* data, std::size_t bytes) {
  std::uint64_t sum = 14695981039346656037ULL;
  for (std::size_t i = 0; i < bytes; i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + i, std::min(sizeof word, bytes - i));
    sum = (sum ^ word) * 1099511628211ULL;
  }
  return sum;
}

bool overlap(const char* a, std::size_t a_bytes, const char* b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

void report_race(std::size_t bytes, const char* what) {
  std::fprintf(stderr, "fake CUDA: RACE: %s (%zu bytes)\n", what, bytes);
  add(Counter::kRaces);
  if (settings().aborts_at_race) std::abort();
}

}  // namespace

Transfers& Transfers::get() {
  static Transfers* transfers = new Transfers;
  return *transfers;
}

void Transfers::arrive(Copy& copy) {
  if (!copy.has_arrived) std::memcpy(copy.device, copy.host, copy.bytes);
  copy.has_arrived = true;
}

void Transfers::finish(Copy& copy) {
  if (!copy.is_upload) {
    std::memcpy(copy.host, copy.snapshot.data(), copy.bytes);
    return;
  }
  if (checksum_of(copy.host, copy.bytes) != copy.checksum) {
    report_race(copy.bytes, "a pinned buffer changed before its asynchronous upload had ended");
  }
  arrive(copy);
}

template <class Which>
void Transfers::finish_if(const Which& which) {
  std::erase_if(copies_, [&](Copy& copy) {
    if (!which(copy)) return false;
    finish(copy);
    return true;
  });
}

bool Transfers::is_before(StreamKey earlier, std::uint64_t ticket, StreamKey stream) const {
  if (earlier == stream) return true;
  const auto clock = clocks_.find(stream);
  if (clock == clocks_.end()) return false;
  const auto seen = clock->second.find(earlier);
  return seen != clock->second.end() && ticket < seen->second;
}

const char* Transfers::block_of(const char* device) const {
  auto next = writers_.upper_bound(device);
  if (next == writers_.begin()) return nullptr;
  const auto& [begin, writer] = *--next;
  return device < begin + writer.bytes ? begin : nullptr;
}

bool Transfers::is_written_before(const char* device, StreamKey stream) const {
  const char* block = block_of(device);
  if (block == nullptr) return true;
  const Writer& writer = writers_.at(block);
  return is_before(writer.stream, writer.ticket, stream);
}

void Transfers::keep(const char* block, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  for (Copy& copy : copies_) {
    if (copy.is_upload || copy.stream != stream || block_of(copy.device) != block) continue;
    copy.is_kept = true;
  }
}

void Transfers::released(const char* block) {
  const std::lock_guard guard(mutex_);
  for (Copy& copy : copies_) {
    if (copy.is_kept && block_of(copy.device) == block) copy.device = nullptr;
  }
  writers_.erase(block);
}

void Transfers::upload(const char* host, char* device, std::size_t bytes, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  finish_if([&](const Copy& c) { return !c.is_upload && overlap(host, bytes, c.host, c.bytes); });
  std::memset(device, 0xFF, bytes);
  copies_.push_back({next_++,
                     stream,
                     true,
                     const_cast<char*>(host),
                     device,
                     bytes,
                     checksum_of(host, bytes),
                     {}});
}

void Transfers::download(const char* device, char* host, std::size_t bytes, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  finish_if([&](const Copy& c) { return overlap(host, bytes, c.host, c.bytes); });
  if (!is_written_before(device, stream)) {
    report_race(bytes,
                "a download is not ordered after the kernel of another stream that wrote "
                "its source");
  }
  copies_.push_back({next_++, stream, false, host, const_cast<char*>(device), bytes, 0,
                     std::vector<char>(device, device + bytes)});
  std::memset(host, 0xFF, bytes);
}

void Transfers::wrote(const char* device, std::size_t bytes, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  writers_[device] = {bytes, stream, next_++};
  for (const Copy& copy : copies_) {
    if (copy.is_upload || copy.device == nullptr ||
        !overlap(device, bytes, copy.device, copy.bytes))
      continue;
    if (is_before(copy.stream, copy.ticket, stream)) continue;
    if (std::memcmp(copy.device, copy.snapshot.data(), copy.bytes) == 0) continue;
    report_race(copy.bytes, "a kernel changed memory that another stream still downloads");
  }
}

void Transfers::arrive(const char* device, std::size_t bytes, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  for (Copy& copy : copies_) {
    const bool is_meant = copy.is_upload && overlap(device, bytes, copy.device, copy.bytes);
    if (is_meant && is_before(copy.stream, copy.ticket, stream)) arrive(copy);
  }
}

void Transfers::finish_host(const char* host, std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  finish_if([&](const Copy& c) { return overlap(host, bytes, c.host, c.bytes); });
}

void Transfers::arrive_from_all(const char* device, std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  for (Copy& copy : copies_) {
    if (copy.is_upload && overlap(device, bytes, copy.device, copy.bytes)) arrive(copy);
  }
}

Clock Transfers::record(StreamKey stream) {
  const std::lock_guard guard(mutex_);
  Clock clock = clocks_[stream];
  clock[stream] = next_;
  return clock;
}

void Transfers::block(const Clock& event, StreamKey stream) {
  const std::lock_guard guard(mutex_);
  Clock& own = clocks_[stream];
  for (const auto& [other, ticket] : event) own[other] = std::max(own[other], ticket);
}

bool Transfers::is_done(const Clock& event) {
  const std::lock_guard guard(mutex_);
  for (const Copy& copy : copies_) {
    const auto seen = event.find(copy.stream);
    if (seen != event.end() && copy.ticket < seen->second) return false;
  }
  return true;
}

void Transfers::wait(const Clock& event) {
  const std::lock_guard guard(mutex_);
  finish_if([&](const Copy& c) {
    const auto seen = event.find(c.stream);
    return seen != event.end() && c.ticket < seen->second;
  });
}

void Transfers::wait_for_all() {
  const std::lock_guard guard(mutex_);
  finish_if([](const Copy&) { return true; });
}

PinnedMemory& PinnedMemory::get() {
  static PinnedMemory* pinned = new PinnedMemory;
  return *pinned;
}

void* PinnedMemory::allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  void* address =
      std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  TORCH_CHECK(address != nullptr, "fake CUDA: no pinned memory");
  const std::lock_guard guard(mutex_);
  blocks_[static_cast<const char*>(address)] = bytes;
  return address;
}

void PinnedMemory::release(void* address) {
  std::size_t bytes = 0;
  {
    const std::lock_guard guard(mutex_);
    const auto found = blocks_.find(static_cast<const char*>(address));
    TORCH_CHECK(found != blocks_.end(), "fake CUDA: released pinned memory that is not in use");
    bytes = found->second;
    blocks_.erase(found);
  }
  Transfers::get().finish_host(static_cast<const char*>(address), bytes);
  std::free(address);
}

bool PinnedMemory::owns(const void* address) {
  const std::lock_guard guard(mutex_);
  auto next = blocks_.upper_bound(static_cast<const char*>(address));
  if (next == blocks_.begin()) return false;
  --next;
  return static_cast<const char*>(address) < next->first + next->second;
}

}  // namespace fake_cuda
