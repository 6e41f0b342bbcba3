// What the fuzz targets share. A target gives hostile bytes to one reader; the product's own errors
// are the right answer, anything else (another exception, a crash, a leak, a run that does not end)
// is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace saferclip {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A folder of this process in memory (/dev/shm), for readers that take paths.
const std::filesystem::path& scratch_folder();
// Writes (without flushing) and gives the path back.
std::filesystem::path scratch_file(const std::string& name, std::string_view bytes);

}  // namespace saferclip
