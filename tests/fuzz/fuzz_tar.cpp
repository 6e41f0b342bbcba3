#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/data/manifest.h"

// Shards: tar headers, names, captions and records in them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  try {
    ManifestRequest request;
    request.file = scratch_file("x.tar", as_text(data, size));
    request.detects_unsafe = true;
    for (const ManifestRow& row : read_manifest(request).rows) read_stored(row.safe_image, size);
  } catch (const Error&) {
  }
  return 0;
}
