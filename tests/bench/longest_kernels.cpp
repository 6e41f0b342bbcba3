#include "bench/longest_kernels.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <map>
#include <set>

namespace saferclip {
namespace {

namespace profiler = torch::autograd::profiler;
using Events = std::vector<profiler::KinetoEvent>;
using Times = std::map<std::string, KernelTime>;
using torch::profiler::impl::ActivityType;

// A range that the program named, repeated on the device's time line: no kernel.
constexpr std::uint8_t kGpuUserAnnotation = 2;  // kineto/ActivityType.h

bool is_kernel(const profiler::KinetoEvent& event) {
  return event.deviceType() != c10::DeviceType::CPU && event.activityType() != kGpuUserAnnotation;
}

void add(Times& times, const std::string& name, double seconds, std::int64_t calls) {
  KernelTime& entry = times[name];
  entry.seconds += seconds;
  entry.calls += calls;
}

double seconds_of(const profiler::KinetoEvent& event) {
  return static_cast<double>(event.durationNs()) * 1e-9;
}

Times kernel_times(const Events& events) {
  Times times;
  for (const auto& event : events) {
    if (is_kernel(event)) add(times, event.name(), seconds_of(event), 1);
  }
  return times;
}

// An operator that begins within another one of its thread takes its time away from that one.
Times operator_times(const Events& events) {
  std::map<std::uint64_t, std::vector<const profiler::KinetoEvent*>> threads;
  for (const auto& event : events) {
    if (!is_kernel(event)) threads[event.startThreadId()].push_back(&event);
  }
  Times times;
  for (auto& [thread, of_thread] : threads) {
    std::sort(of_thread.begin(), of_thread.end(), [](const auto* a, const auto* b) {
      return a->startNs() != b->startNs() ? a->startNs() < b->startNs() : a->endNs() > b->endNs();
    });
    std::vector<const profiler::KinetoEvent*> open;
    for (const auto* event : of_thread) {
      while (!open.empty() && open.back()->endNs() <= event->startNs()) open.pop_back();
      if (!open.empty()) add(times, open.back()->name(), -seconds_of(*event), 0);
      add(times, event->name(), seconds_of(*event), 1);
      open.push_back(event);
    }
  }
  return times;
}

}  // namespace

Profile profile(const std::function<void()>& work, std::size_t count) {
  std::set<ActivityType> activities{ActivityType::CPU};
  if (at::hasCUDA()) activities.insert(ActivityType::CUDA);
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  work();
  const auto result = profiler::disableProfiler();
  const Events& events = result->events();
  Profile found;
  found.has_kernels = std::any_of(events.begin(), events.end(), is_kernel);
  for (auto& [name, time] : found.has_kernels ? kernel_times(events) : operator_times(events)) {
    found.seconds += time.seconds;
    found.longest.push_back({name, time.seconds, time.calls});
  }
  std::sort(found.longest.begin(), found.longest.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  if (found.longest.size() > count) found.longest.resize(count);
  return found;
}

}  // namespace saferclip
