// libcuda's entry points are looked up in the process first, then in the driver's library. A
// missing one, or a call that fails, means "unknown" and is never an error by itself. The driver
// applies CUDA_VISIBLE_DEVICES, so its indices are LibTorch's.
#include "saferclip/nn/cuda_card.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// Numbers of cuda.h: CUdevice_attribute.
constexpr int kCapabilityMajor = 75;
constexpr int kCapabilityMinor = 76;

constexpr auto kAllPools = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);

template <class Function>
Function* driver_function(const char* name) {
  static void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  void* symbol = ::dlsym(RTLD_DEFAULT, name);
  if (symbol == nullptr && library != nullptr) symbol = ::dlsym(library, name);
  return reinterpret_cast<Function*>(symbol);
}

// Calls a driver function; false if there is none or it fails.
template <class... Parameters, class... Arguments>
bool ask(int (*function)(Parameters...), Arguments... arguments) {
  return function != nullptr && function(arguments...) == 0;
}

bool has_driver() {
  static const bool is_there = ask(driver_function<int(unsigned)>("cuInit"), 0U);
  return is_there;
}

std::string version_text(std::int64_t number) {  // 13000 -> "13.0"
  return cat(number / 1000, ".", number % 1000 / 10);
}

std::string first_sentence(const std::string& text) {
  return text.substr(0, std::min(text.find('\n'), text.find(". ")));
}

std::string visible_devices() {
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  return value == nullptr ? "" : cat(" (CUDA_VISIBLE_DEVICES=\"", value, "\")");
}

}  // namespace

std::optional<std::string> load_cuda_library() {
  Dl_info cpu_library{};
  if (::dladdr(reinterpret_cast<const void*>(&at::detail::getCUDAHooks), &cpu_library) == 0) {
    return std::nullopt;
  }
  const auto library =
      std::filesystem::path(cpu_library.dli_fname).parent_path() / "libtorch_cuda.so";
  if (!std::filesystem::exists(library)) return std::nullopt;
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return std::nullopt;
  return cat("CUDA cards are not used: ", library.string(), " cannot be loaded (", ::dlerror(),
             "); reinstall torch with all packages that it names, or install its CPU build");
}

std::optional<std::string> cuda_driver_version() {
  int version = 0;
  if (!ask(driver_function<int(int*)>("cuDriverGetVersion"), &version)) return std::nullopt;
  return version_text(version);
}

std::optional<std::string> nccl_version() {
  int version = 0;
  const auto get = reinterpret_cast<int (*)(int*)>(::dlsym(RTLD_DEFAULT, "ncclGetVersion"));
  if (!ask(get, &version)) return std::nullopt;
  return cat(version / 10000, ".", version % 10000 / 100, ".", version % 100);
}

std::optional<CudaCard> cuda_card(int index) {
  if (!has_driver()) return std::nullopt;
  int device = 0;
  CudaCard card;
  std::array<char, 256> name{};
  std::size_t bytes = 0;
  const auto attribute = driver_function<int(int*, int, int)>("cuDeviceGetAttribute");
  if (!ask(driver_function<int(int*, int)>("cuDeviceGet"), &device, index) ||
      !ask(attribute, &card.major, kCapabilityMajor, device) ||
      !ask(attribute, &card.minor, kCapabilityMinor, device)) {
    return std::nullopt;
  }
  if (ask(driver_function<int(char*, int, int)>("cuDeviceGetName"), name.data(),
          static_cast<int>(name.size()) - 1, device)) {
    card.name = name.data();
  }
  if (ask(driver_function<int(std::size_t*, int)>("cuDeviceTotalMem_v2"), &bytes, device)) {
    card.memory_bytes = bytes;
  }
  return card;
}

std::optional<DeviceMemory> device_memory(c10::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  const c10::DeviceIndex index = device.index();
  try {
    const auto stats = at::accelerator::getDeviceStats(index);
    const auto [free, total] = at::accelerator::getMemoryInfo(index);
    return DeviceMemory{static_cast<std::uint64_t>(stats.allocated_bytes[kAllPools].current),
                        static_cast<std::uint64_t>(stats.allocated_bytes[kAllPools].peak), free,
                        total};
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

std::uint64_t device_peak_bytes(c10::Device device) {
  if (!device.is_cuda()) return 0;
  try {
    const auto stats = at::accelerator::getDeviceStats(device.index());
    return static_cast<std::uint64_t>(stats.allocated_bytes[kAllPools].peak);
  } catch (const c10::Error&) {
    return 0;
  }
}

std::string describe_card(c10::Device device) {
  std::string text = device.str();
  if (const auto card = cuda_card(device.index())) {
    text += cat(": ", card->name, ", compute capability ", card->capability());
  }
  if (const auto memory = device_memory(device)) {
    text += cat(", ", human_bytes(memory->free), " of ", human_bytes(memory->total), " free");
  }
  if (const auto driver = cuda_driver_version()) text += cat(", driver for CUDA ", *driver);
  return text;
}

std::string out_of_memory_text(const std::string& problem) {
  return cat(
      first_sentence(problem),
      "; checkpoints are intact. To go on with this run, set train.recompute: blocks, or free the "
      "device for this process (nvidia-smi shows who uses it), then --resume auto. A new run can "
      "also lower train.micro_batch_size (with train.gradient_cache: true the losses remain those "
      "of the whole batch), or train LoRA instead of all weights");
}

std::string device_failure_text(const std::string& problem) {
  return cat(first_sentence(problem),
             "; the device failed, not the run: checkpoints are intact, continue with "
             "--resume auto. If it happens again, see nvidia-smi and the system log "
             "(Xid errors)");
}

std::string why_no_cuda() {
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (!hooks.isBuilt()) {
    return "this LibTorch is a CPU build; use a CUDA build of the same version (SAFERCLIP_TORCH)";
  }
  const std::optional<std::string> driver = cuda_driver_version();
  if (!driver) {
    return "this machine has no NVIDIA driver (libcuda.so.1 is not found); install one";
  }
  const std::string needed = hooks.hasCUDART() ? version_text(hooks.versionCUDART()) : "";
  if (!needed.empty() && std::stod(*driver) < std::stod(needed)) {
    return cat("the NVIDIA driver supports CUDA ", *driver, ", this LibTorch needs ", needed,
               "; update the driver, or build with a LibTorch for CUDA ", *driver);
  }
  return cat("the NVIDIA driver shows no card", visible_devices(), "; see what nvidia-smi lists");
}

}  // namespace saferclip
