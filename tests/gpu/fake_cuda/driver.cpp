// The few functions of CUDA's driver (libcuda) that the program asks about a card. They stand in
// the preloaded library, so a lookup in the process finds them before any driver's. A driver that
// is switched off (FAKE_CUDA_DRIVER=none) leaves them failing, as on a machine without one.
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "memory.h"
#include "settings.h"

namespace {

constexpr int kInvalidValue = 1;  // CUresult
constexpr int kNoDevice = 100;
constexpr int kInvalidDevice = 101;

int check(int device) {
  const fake_cuda::Settings& s = fake_cuda::settings();
  if (s.driver_version == 0 || s.devices == 0) return kNoDevice;
  return device < 0 || device >= s.devices ? kInvalidDevice : 0;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return fake_cuda::settings().driver_version == 0 ? kNoDevice : 0; }

int cuDriverGetVersion(int* version) {
  *version = fake_cuda::settings().driver_version;
  return *version == 0 ? kNoDevice : 0;
}

int cuDeviceGet(int* device, int index) {
  *device = index;
  return check(index);
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const fake_cuda::Settings& s = fake_cuda::settings();
  if (attribute != 75 && attribute != 76) return kInvalidValue;  // the compute capability
  *value = attribute == 75 ? s.capability_major : s.capability_minor;
  return check(device);
}

int cuDeviceGetName(char* name, int size, int device) {
  std::snprintf(name, static_cast<std::size_t>(size), "Fake CUDA card");
  return check(device);
}

int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  if (const int error = check(device); error != 0) return error;
  *bytes = fake_cuda::Memory::get().info(device).second;
  return 0;
}
}
