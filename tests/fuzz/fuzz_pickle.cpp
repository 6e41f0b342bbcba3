#include "fuzz/fuzz.h"
#include "io/pickle.h"
#include "saferclip/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  try {
    read_pickle(as_text(data, size), "x", [](const std::string& name) {
      if (name == "os.system" || name == "posix.system") return false;
      return true;
    });
  } catch (const Error&) {
  }
  return 0;
}
