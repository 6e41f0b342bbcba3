// Errs on the side of pictures: a wrong extension or none still counts if the first bytes fit, so
// that a broken download is reported by the decoder instead of silently left out. Everything else
// is counted by kind for one note.
#include "saferclip/image/picture_files.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>

#include "image/structure.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Includes kinds that the decoder refuses, because it then says why and what to do.
constexpr std::array kExtensions{".jpg",  ".jpeg", ".jpe", ".jfif", ".png", ".webp",
                                 ".bmp",  ".dib",  ".tif", ".tiff", ".gif", ".avif",
                                 ".heic", ".heif", ".jp2", ".j2k",  ".jpx", ".jxl",
                                 ".ppm",  ".pgm",  ".pbm", ".pnm",  ".tga", ".ico"};
constexpr std::array kForeign{
    "__MACOSX",  "@eaDir",      "lost+found", "$RECYCLE.BIN", "System Volume Information",
    "Thumbs.db", "desktop.ini", "Icon\r"};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return text;
}

bool starts_like_a_picture(const fs::path& file, bool has_extension) {
  std::array<char, 32> head{};
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), head.size());
  const std::string_view bytes(head.data(), static_cast<std::size_t>(in.gcount()));
  const PictureKind kind = examine_picture(bytes).kind;
  // "BM" may also begin a text file.
  return kind != PictureKind::kUnknown && !(kind == PictureKind::kBmp && has_extension);
}

class Walk {
 public:
  explicit Walk(PictureFiles& files) : files_(files) {}

  void visit(const fs::path& folder) {
    std::error_code error;
    const fs::path resolved = fs::canonical(folder, error);
    if (!error && !visited_.insert(resolved).second) return;  // a circular link
    error.clear();
    auto entry = fs::directory_iterator(folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) take(*entry);
    if (error) throw DataError(cat(folder.string(), ": cannot be listed: ", error.message()));
  }

 private:
  void take(const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    std::error_code error;
    if (is_system_file(name)) {
      ++files_.others[name.starts_with(".") ? "hidden" : name];
    } else if (entry.is_directory(error)) {
      visit(entry.path());
    } else if (entry.is_regular_file(error)) {
      const std::string extension = lower(entry.path().extension().string());
      const bool has_picture_extension =
          std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
      if (has_picture_extension || starts_like_a_picture(entry.path(), !extension.empty())) {
        files_.pictures.push_back(entry.path());
      } else {
        ++files_.others[extension.empty() ? "without extension" : extension];
      }
    } else {
      ++files_.others["special files"];
    }
  }

  PictureFiles& files_;
  std::set<fs::path> visited_;
};

}  // namespace

std::string PictureFiles::note() const {
  std::int64_t count = 0;
  std::vector<std::string> kinds;
  for (const auto& [kind, n] : others) {
    count += n;
    kinds.push_back(cat(kind, " ", n));
  }
  if (count == 0) return "";
  return cat("skipped ", count,
             count == 1 ? " file that is not an image" : " files that are not images", " (",
             join(shortened(kinds, 8), ", "), ")");
}

bool is_system_file(const std::string& name) {
  return name.starts_with(".") ||
         std::find(kForeign.begin(), kForeign.end(), name) != kForeign.end();
}

PictureFiles picture_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw DataError(cat(folder.string(), ": no such folder"));
  PictureFiles files;
  Walk(files).visit(folder);
  std::sort(files.pictures.begin(), files.pictures.end());
  return files;
}

PictureFiles find_images(const fs::path& folder) {
  PictureFiles files = picture_files(folder);
  if (files.pictures.empty()) {
    throw DataError(cat(folder.string(), ": contains no images",
                        files.others.empty() ? "" : "; " + files.note()));
  }
  return files;
}

}  // namespace saferclip
