#include <unistd.h>

#include <fstream>

#include "fuzz/fuzz.h"

namespace saferclip {
namespace fs = std::filesystem;

const fs::path& scratch_folder() {
  static const struct Folder {
    fs::path path;
    Folder() {
      const fs::path memory("/dev/shm");
      path = (fs::is_directory(memory) ? memory : fs::temp_directory_path()) /
             ("saferclip-fuzz-" + std::to_string(::getpid()));
      fs::create_directories(path);
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } kFolder;
  return kFolder.path;
}

fs::path scratch_file(const std::string& name, std::string_view bytes) {
  fs::path path = scratch_folder() / name;
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

}  // namespace saferclip
