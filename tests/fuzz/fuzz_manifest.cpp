#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/data/manifest.h"

// Manifests: JSON lines, JSON, CSV and TSV.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  for (const char* name : {"x.jsonl", "x.csv"}) {
    try {
      ManifestRequest request;
      request.file = scratch_file(name, as_text(data, size));
      read_manifest(request);
    } catch (const Error&) {
    }
  }
  return 0;
}
