#include "fuzz/fuzz.h"
#include "saferclip/config/run_config.h"
#include "saferclip/core/error.h"

// Run configurations: YAML and JSON.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  for (const char* name : {"x.yaml", "x.json"}) {
    try {
      read_run_config(scratch_file(name, as_text(data, size)), {});
    } catch (const Error&) {
    }
  }
  return 0;
}
