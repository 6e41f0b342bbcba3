// NCCL for a program that was built without a CUDA build of LibTorch: nccl.cpp, loaded as a
// library.
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "distributed/nccl.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/processes.h"

namespace saferclip {
namespace {

struct NcclLibrary {
  const NcclFunctions* functions = nullptr;
  std::string problem;
};

std::string version_of(int nccl, int cuda) {
  return cat("NCCL ", nccl / 10000, ".", nccl % 10000 / 100, ".", nccl % 100, " and CUDA ",
             cuda / 1000, ".", cuda % 1000 / 10);
}

NcclLibrary load() {
  // Without a CUDA build of LibTorch its symbols are not there.
  const auto loaded_version =
      reinterpret_cast<int (*)(int*)>(::dlsym(RTLD_DEFAULT, "ncclGetVersion"));
  if (loaded_version == nullptr || !at::detail::getCUDAHooks().hasCUDART()) return {};
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() /
                    "libsaferclip_nccl.so";
  if (!std::filesystem::exists(path, ignored)) {
    return {nullptr, "libsaferclip_nccl.so is not beside the program"};
  }
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, ::dlerror()};
  const auto* const functions =
      static_cast<const NcclFunctions*>(::dlsym(library, "saferclip_nccl"));
  if (functions == nullptr) return {nullptr, cat(path.string(), " is of another version")};
  int nccl = 0;
  loaded_version(&nccl);
  const auto cuda = static_cast<int>(at::detail::getCUDAHooks().versionCUDART());
  if (nccl != functions->nccl_version || cuda != functions->cuda_version) {
    return {nullptr, cat("this torch has ", version_of(nccl, cuda), ", the program was built for ",
                         version_of(functions->nccl_version, functions->cuda_version),
                         "; install PyPI's torch to use NCCL")};
  }
  return {functions, ""};
}

const NcclLibrary& nccl_library() {
  static const NcclLibrary library = load();
  return library;
}

const NcclFunctions& functions() {
  if (!has_nccl()) throw Error(cat("this program has no NCCL: ", nccl_problem()), 1);
  return *nccl_library().functions;
}

}  // namespace

bool has_nccl() { return nccl_library().functions != nullptr; }

std::string nccl_problem() { return nccl_library().problem; }

std::string card_address(at::Device device) { return functions().card_address(device); }

c10::intrusive_ptr<c10d::Backend> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                               int rank, int size, at::Device device) {
  return functions().connect_nccl(store, rank, size, device);
}

}  // namespace saferclip
