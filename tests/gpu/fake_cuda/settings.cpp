// Reads the environment variables FAKE_CUDA_*. They are the only way to steer a library that is
// preloaded into an unmodified program. A value that is not a number ends the process before main:
// a test that means another device than it gets would pass for the wrong reason.
#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace fake_cuda {
namespace {

[[noreturn]] void refuse_setting(const char* name, const char* value) {
  std::fprintf(stderr, "fake CUDA: %s: cannot read '%s'\n", name, value);
  std::_Exit(2);
}

std::int64_t number(const char* name, std::int64_t fallback) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return fallback;
  char* end = nullptr;
  const long long read = std::strtoll(value, &end, 10);
  if (*end != '\0') refuse_setting(name, value);
  return read;
}

std::string text(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void read_capability(Settings& s) {
  const std::string value = text("FAKE_CUDA_CAPABILITY");
  if (value.empty()) return;
  char rest = 0;
  if (std::sscanf(value.c_str(), "%d.%d%c", &s.capability_major, &s.capability_minor, &rest) != 2) {
    refuse_setting("FAKE_CUDA_CAPABILITY", value.c_str());
  }
}

void read_driver(Settings& s) {
  const std::string value = text("FAKE_CUDA_DRIVER");
  if (value.empty()) return;
  int major = 0, minor = 0;
  char rest = 0;
  if (value != "none" && std::sscanf(value.c_str(), "%d.%d%c", &major, &minor, &rest) != 2) {
    refuse_setting("FAKE_CUDA_DRIVER", value.c_str());
  }
  s.driver_version = 1000 * major + 10 * minor;
  if (s.driver_version < kRuntimeVersion) s.devices = 0;
}

Settings read_settings() {
  Settings s;
  s.devices = static_cast<int>(number("FAKE_CUDA_COUNT", s.devices));
  if (s.devices < 0 || s.devices > 16) {
    refuse_setting("FAKE_CUDA_COUNT", text("FAKE_CUDA_COUNT").c_str());
  }
  const std::int64_t limit = number("FAKE_CUDA_LIMIT_MIB", 0);
  if (limit < 0) refuse_setting("FAKE_CUDA_LIMIT_MIB", text("FAKE_CUDA_LIMIT_MIB").c_str());
  s.limit_bytes = static_cast<std::size_t>(limit) << 20U;
  s.lose_after = number("FAKE_CUDA_LOSE_AFTER", s.lose_after);
  s.aborts_at_race = number("FAKE_CUDA_ABORT", 0) != 0;
  s.report_file = text("FAKE_CUDA_REPORT");
  s.operators_file = text("FAKE_CUDA_OPERATORS");
  read_capability(s);
  read_driver(s);
  return s;
}

}  // namespace

const Settings& settings() {
  static const Settings* read = new Settings(read_settings());
  return *read;
}

}  // namespace fake_cuda
