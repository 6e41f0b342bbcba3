// The few functions of CUDA's driver by which a program asks what card it has; ATen's hooks cannot
// tell. They carry the driver's names, so that a program that looks them up in the process finds
// these before it looks for libcuda. Return values are CUresult: 0 success, 1 invalid value, 100 no
// device, 101 invalid device.
#include <cstdint>
#include <cstdio>

#include "memory.h"
#include "settings.h"

namespace {

constexpr int kDriverVersion = 13000;
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;  // CUdevice_attribute

int check_device(int device) {
  const int devices = fake_cuda::settings().devices;
  if (devices == 0) return 100;
  return device < 0 || device >= devices ? 101 : 0;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return check_device(0); }

int cuDriverGetVersion(int* version) {
  *version = kDriverVersion;
  return 0;
}

int cuDeviceGet(int* device, int index) {
  *device = index;
  return check_device(index);
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const fake_cuda::Settings& s = fake_cuda::settings();
  if (attribute != kCapabilityMajor && attribute != kCapabilityMinor) return 1;
  *value = attribute == kCapabilityMajor ? s.capability_major : s.capability_minor;
  return check_device(device);
}

int cuDeviceGetName(char* name, int size, int device) {
  std::snprintf(name, static_cast<std::size_t>(size), "Fake CUDA device %d", device);
  return check_device(device);
}

int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  if (const int error = check_device(device); error != 0) return error;
  *bytes = fake_cuda::Memory::get().info(device).second;
  return 0;
}
}
