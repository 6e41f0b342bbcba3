// One table behind one mutex: every kernel of the fake device copies memory, so a lock costs
// nothing beside it. The operators that ran are kept apart from the counts, so that a reset in a
// test does not hide them from the list that tests/gpu/operators.py checks. The device is lost by a
// count of kernels, which is the same in every run.
#include "counts.h"

#include <c10/util/Exception.h>

#include <array>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "memory.h"
#include "settings.h"

namespace fake_cuda {
namespace {

constexpr std::size_t kCounters = static_cast<std::size_t>(Counter::kEnd);
constexpr std::array<std::string_view, kCounters> kNames{
    "kernels",         "launches",       "device_copies",     "pinned_uploads", "pageable_uploads",
    "waiting_uploads", "late_downloads", "waiting_downloads", "items",          "other_waits",
    "event_waits",     "races"};

struct Table {
  std::mutex mutex;
  std::array<std::uint64_t, kCounters> values{};
  std::map<std::string, std::uint64_t, std::less<>> by_operator;
  std::map<std::string, std::uint64_t> waits;  // who made the host wait
  std::set<std::string> all_operators;
  std::int64_t kernels_left = settings().lose_after;  // below 0: never lost
  bool is_lost = settings().lose_after == 0;

  std::uint64_t& at(Counter counter) { return values[static_cast<std::size_t>(counter)]; }
};

Table& table() {
  static Table* made = new Table;  // never destroyed: kernels run in destructors of static objects
  return *made;
}

[[noreturn]] void throw_lost() {
  throw c10::AcceleratorError({__func__, __FILE__, static_cast<std::uint32_t>(__LINE__)}, 719,
                              "CUDA error: unspecified launch failure (fake CUDA: device lost)");
}

std::uint64_t waits_of(Table& t) {
  return t.at(Counter::kWaitingUploads) + t.at(Counter::kWaitingDownloads) + t.at(Counter::kItems) +
         t.at(Counter::kOtherWaits);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <class Map>
void write_map(std::ofstream& out, const char* name, const Map& map) {
  out << ",\n  \"" << name << "\": {";
  const char* separator = "\n";
  for (const auto& [key, value] : map) {
    out << separator << "    " << quoted(key) << ": " << value;
    separator = ",\n";
  }
  out << "\n  }";
}

void write_report(Table& t, const std::string& file) {
  std::ofstream out(file, std::ios::trunc);
  out << "{\n  \"waits\": " << waits_of(t);
  for (std::size_t i = 0; i < kCounters; ++i) {
    out << ",\n  " << quoted(kNames[i]) << ": " << t.values[i];
  }
  for (int device = 0; device < settings().devices; ++device) {
    const Usage usage = Memory::get().usage(device);
    out << ",\n  \"peak_bytes_" << device << "\": " << usage.peak << ",\n  \"allocations_" << device
        << "\": " << usage.allocations;
  }
  write_map(out, "operators", t.by_operator);
  write_map(out, "who_waited", t.waits);
  out << "\n}\n";
  if (!out) std::fprintf(stderr, "fake CUDA: cannot write %s\n", file.c_str());
}

}  // namespace

void add(Counter counter, std::uint64_t by) {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  t.at(counter) += by;
}

void add_wait(Counter counter, const std::string& who) {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  ++t.at(counter);
  ++t.waits[who];
}

void begin_kernel(const std::string& op, std::uint64_t launches) {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  if (t.kernels_left == 0) t.is_lost = true;
  if (t.is_lost) throw_lost();
  if (t.kernels_left > 0) --t.kernels_left;
  ++t.at(Counter::kKernels);
  t.at(Counter::kLaunches) += launches;
  ++t.by_operator[op];
  t.all_operators.insert(op);
}

void check_device_is_there() {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  if (t.is_lost) throw_lost();
}

void lose_device_after(std::int64_t kernels) {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  t.kernels_left = kernels;
  t.is_lost = kernels == 0;
}

std::uint64_t read_count(std::string_view name) {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  if (name == "waits") return waits_of(t);
  for (std::size_t i = 0; i < kCounters; ++i) {
    if (kNames[i] == name) return t.values[i];
  }
  const auto found = t.by_operator.find(name);
  return found == t.by_operator.end() ? 0 : found->second;
}

void reset_counts() {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  const std::uint64_t races = t.at(Counter::kRaces);
  t.values.fill(0);
  t.at(Counter::kRaces) = races;  // a reset does not forgive a race
  t.by_operator.clear();
  t.waits.clear();
}

std::uint64_t take_races() {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  return std::exchange(t.at(Counter::kRaces), 0);
}

void write_files() {
  Table& t = table();
  const std::lock_guard guard(t.mutex);
  if (t.all_operators.empty())
    return;  // env, timeout and the like: they would overwrite the program's
  if (!settings().report_file.empty()) write_report(t, settings().report_file);
  if (settings().operators_file.empty()) return;
  std::ofstream out(settings().operators_file, std::ios::trunc);
  for (const std::string& name : t.all_operators) out << name << '\n';
  if (!out) std::fprintf(stderr, "fake CUDA: cannot write %s\n", settings().operators_file.c_str());
}

}  // namespace fake_cuda
