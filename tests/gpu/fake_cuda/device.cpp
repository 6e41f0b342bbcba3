// What makes at::hasCUDA() true in a CPU build: hooks, device guard, allocators, generators. The
// registry finds the hooks by the class's name, which therefore must be CUDAHooks. Streams are
// those of their thread, as with CUDA. An event that is asked before its copies have ended says
// "not yet" once, so that code that never asks again is found, and code that asks in a loop ends.
#include "device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <atomic>
#include <cstring>

#include "counts.h"
#include "memory.h"
#include "settings.h"

namespace fake_cuda {
namespace {

constexpr int kMaxDevices = 16;
thread_local c10::DeviceIndex current = 0;
thread_local std::array<c10::StreamId, kMaxDevices> streams{};

[[noreturn]] void throw_cuda(std::int32_t code, const std::string& text) {
  throw c10::AcceleratorError({__func__, __FILE__, static_cast<std::uint32_t>(__LINE__)}, code,
                              "CUDA error: " + text + " (fake CUDA)");
}

void check_index(c10::DeviceIndex index) {
  if (settings().devices == 0) throw_cuda(100, "no CUDA-capable device is detected");
  if (index < settings().devices) return;
  throw_cuda(101, c10::str("invalid device ordinal ", static_cast<int>(index), ", there are ",
                           settings().devices));
}

c10::DeviceIndex or_current(c10::DeviceIndex index) { return index < 0 ? current : index; }

c10::Stream stream_of(c10::DeviceIndex index) {
  const c10::DeviceIndex own = or_current(index);
  const c10::StreamId id = streams.at(static_cast<std::size_t>(own));
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, own), id);
}

StreamKey key_of(const c10::Stream& stream) {
  return (static_cast<StreamKey>(stream.device_index()) << 32U) | stream.id();
}

void release_on_device(void* address) {
  if (address == nullptr) return;
  Transfers::get().released(Memory::get().for_kernels(address));
  Memory::get().release(address);
}
void release_pinned(void* address) {
  if (address != nullptr) PinnedMemory::get().release(address);
}

class DeviceAllocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    check_index(current);
    const c10::Device device(kType, current);
    if (bytes == 0) return {nullptr, nullptr, &release_on_device, device};
    void* address = Memory::get().allocate(bytes, current);
    return {address, address, &release_on_device, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_on_device; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    const Memory& memory = Memory::get();
    Transfers::get().arrive(memory.for_kernels(from), bytes, current_stream(-1));
    std::memcpy(memory.for_kernels(to), memory.for_kernels(from), bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override {
    check_index(index);
    const Usage usage = Memory::get().usage(or_current(index));
    c10::CachingDeviceAllocator::DeviceStats stats;
    for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes}) {
      (*bytes)[0].current = static_cast<std::int64_t>(usage.in_use);
      (*bytes)[0].peak = static_cast<std::int64_t>(usage.peak);
    }
    stats.allocation[0].allocated = static_cast<std::int64_t>(usage.allocations);
    stats.num_ooms = static_cast<std::int64_t>(usage.failures);
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex index) override {
    check_index(index);
    Memory::get().reset_peak(or_current(index));
  }
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex index) override {
    check_index(index);
    return Memory::get().info(or_current(index));
  }
};

class PinnedAllocator final : public at::HostAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    check_index(0);
    const c10::Device host(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release_pinned, host};
    void* address = PinnedMemory::get().allocate(bytes);
    return {address, address, &release_pinned, host};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_pinned; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  bool record_event(void*, void*, c10::Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}
};

struct Event {
  Clock clock;
  bool was_asked = false;
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device old(kType, current);
    setDevice(device);
    return old;
  }
  c10::Device getDevice() const override { return {kType, current}; }
  void setDevice(c10::Device device) const override { set_current_device(device.index()); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) current = device.index();
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return static_cast<c10::DeviceIndex>(settings().devices);
  }

  c10::Stream getStream(c10::Device device) const override { return stream_of(device.index()); }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kType, or_current(device.index())));
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return getNewStream(device, 0);
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    static std::atomic<c10::StreamId> next = 1;
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, or_current(device.index())), next++);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream old = stream_of(stream.device_index());
    streams.at(static_cast<std::size_t>(stream.device_index())) = stream.id();
    return old;
  }
  bool queryStream(const c10::Stream& stream) const override {
    return Transfers::get().is_done(Transfers::get().record(key_of(stream)));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    check_device_is_there();
    add_wait(Counter::kOtherWaits, "synchronizeStream");
    Transfers::get().wait_for_stream(key_of(stream));
  }
  void synchronizeDevice(c10::DeviceIndex) const override {
    check_device_is_there();
    add_wait(Counter::kOtherWaits, "synchronizeDevice");
    Transfers::get().wait_for_all();
  }

  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  void record(void** event, const c10::Stream& stream, c10::DeviceIndex,
              c10::EventFlag) const override {
    check_device_is_there();
    if (*event == nullptr) *event = new Event;
    *static_cast<Event*>(*event) = {Transfers::get().record(key_of(stream)), false};
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event != nullptr) {
      Transfers::get().block(static_cast<Event*>(event)->clock, key_of(stream));
    }
  }
  bool queryEvent(void* event) const override {
    check_device_is_there();
    auto* own = static_cast<Event*>(event);
    if (own == nullptr || Transfers::get().is_done(own->clock)) return true;
    if (!std::exchange(own->was_asked, true)) return false;
    Transfers::get().wait(own->clock);
    return true;
  }
  void synchronizeEvent(void* event) const override {
    check_device_is_there();
    add(Counter::kEventWaits);
    if (event != nullptr) Transfers::get().wait(static_cast<Event*>(event)->clock);
  }
  double elapsedTime(void*, void*, c10::DeviceIndex) const override { return 1.0; }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    if (data) Transfers::get().keep(Memory::get().for_kernels(data.get()), key_of(stream));
  }
};

class Generator final : public c10::GeneratorImpl {
 public:
  explicit Generator(c10::DeviceIndex index, at::Generator host = at::detail::createCPUGenerator())
      : GeneratorImpl(c10::Device(kType, index), c10::DispatchKeySet(c10::DispatchKey::CUDA)),
        host_(std::move(host)) {}
  void set_current_seed(std::uint64_t seed) override { host_.set_current_seed(seed); }
  void set_offset(std::uint64_t) override {}
  std::uint64_t get_offset() const override { return 0; }
  std::uint64_t current_seed() const override { return host_.current_seed(); }
  std::uint64_t seed() override { return host_.seed(); }
  void set_state(const c10::TensorImpl& state) override {
    host_.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return host_.unsafeGetGeneratorImpl()->get_state();
  }
  static c10::DeviceType device_type() { return kType; }
  const at::Generator& host() const { return host_; }

 private:
  Generator* clone_impl() const override { return new Generator(device().index(), host_.clone()); }
  at::Generator host_;
};

}  // namespace

c10::DeviceIndex current_device() { return current; }

void set_current_device(c10::DeviceIndex index) {
  check_index(index);
  if (index >= 0) current = index;
}

StreamKey current_stream(c10::DeviceIndex index) { return key_of(stream_of(index)); }

c10::Allocator* device_allocator() {
  static auto* allocator = new DeviceAllocator;
  return allocator;
}

c10::Allocator* pinned_allocator() {
  static auto* allocator = new PinnedAllocator;
  return allocator;
}

const at::Generator& default_generator(c10::DeviceIndex index) {
  static const auto* generators = [] {
    auto* all = new std::vector<at::Generator>;
    for (int i = 0; i < settings().devices; ++i)
      all->push_back(new_generator(static_cast<c10::DeviceIndex>(i)));
    return all;
  }();
  check_index(or_current(index));
  return (*generators)[static_cast<std::size_t>(or_current(index))];
}

at::Generator new_generator(c10::DeviceIndex index) {
  return at::make_generator<Generator>(or_current(index));
}

const at::Generator& drawing_generator(const at::Generator& of_device) {
  return static_cast<Generator*>(of_device.unsafeGetGeneratorImpl())->host();
}

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

}  // namespace fake_cuda
