// What the program asked of the device, by kind and by operator. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fake_cuda {

enum class Counter {
  kKernels,           // operators that ran on the device
  kLaunches,          // the same, weighted: an operator on a long list is several launches
  kDeviceCopies,      // from the device to the device, changes of dtype among them
  kPinnedUploads,     // asynchronous
  kPageableUploads,   // asked to be asynchronous; the driver stages them
  kWaitingUploads,    // the host waits
  kLateDownloads,     // asynchronous, to pinned memory
  kWaitingDownloads,  // the host waits
  kItems,             // .item()
  kOtherWaits,        // nonzero, boolean indices, synchronization of a stream or device
  kEventWaits,
  kRaces,  // pinned buffers changed before their copy had ended
  kEnd
};

void add(Counter counter, std::uint64_t by = 1);
// The host waits for the device; `who` is listed in the report.
void add_wait(Counter counter, const std::string& who);
// Each kernel begins with this. Throws once the device is lost.
void begin_kernel(const std::string& op, std::uint64_t launches = 1);
// Each copy and each wait begins with this: throws once the device is lost.
void check_device_is_there();
void lose_device_after(std::int64_t kernels);

// A counter by its name in the report, "waits" (all that make the host wait, events aside), or an
// operator.
std::uint64_t read_count(std::string_view name);
void reset_counts();
std::uint64_t take_races();

// What FAKE_CUDA_REPORT and FAKE_CUDA_OPERATORS ask for.
void write_files();

}  // namespace fake_cuda
