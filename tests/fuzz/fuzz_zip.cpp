#include "fuzz/fuzz.h"
#include "io/zip_archive.h"
#include "saferclip/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  try {
    const auto archive =
        ZipArchive::open(MappedFile::open(scratch_file("x.zip", as_text(data, size))));
    std::size_t sum = 0;
    for (const auto& [name, member] : archive.members()) {
      if (!member.is_stored) continue;
      for (const char byte : archive.bytes(name)) sum += static_cast<unsigned char>(byte);
    }
    if (sum == SIZE_MAX) return 1;
  } catch (const Error&) {
  }
  return 0;
}
