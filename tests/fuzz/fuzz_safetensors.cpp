#include <ATen/ATen.h>

#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  try {
    const auto file = SafetensorsFile::open(scratch_file("x.safetensors", as_text(data, size)));
    for (const auto& [name, entry] : file.entries()) file.tensor(name).clone();
  } catch (const Error&) {
  }
  return 0;
}
