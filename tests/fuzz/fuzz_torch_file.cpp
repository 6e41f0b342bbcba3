#include <ATen/ATen.h>

#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/io/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  try {
    const TensorFile file = open_tensor_file(scratch_file("x.pt", as_text(data, size)));
    for (const auto& [name, info] : file.entries) file.tensor(name).clone();
  } catch (const Error&) {
  }
  return 0;
}
