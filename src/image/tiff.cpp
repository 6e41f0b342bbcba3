// Alpha and orientation of TIFF files, around OpenCV's decoder. Tags are patched in a copy of the
// file rather than re-encoding it: each is one 12-byte entry, and the new value, 1, always fits.
// Only the first directory matters, as for the decoder.
#include "image/tiff.h"

#include <algorithm>
#include <cstdint>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kSamples = 277;
constexpr std::uint64_t kOrientation = 274;
constexpr std::uint64_t kExtraSamples = 338;

// The entries of the first directory with a single number: tag, number, its position and size.
class Directory {
 public:
  explicit Directory(std::string_view bytes)
      : bytes_(bytes), is_little_(bytes.starts_with("II")), begin_(number(4, 4)) {}

  template <class Visit>
  void each(Visit visit) const {
    const std::uint64_t count = number(begin_, 2);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::size_t entry = begin_ + 2 + 12 * static_cast<std::size_t>(i);
      if (entry + 12 > bytes_.size()) break;
      if (number(entry + 4, 4) != 1) continue;
      const std::size_t size = number(entry + 2, 2) == 3 ? 2 : 4;
      visit(number(entry, 2), static_cast<int>(number(entry + 8, size)), entry + 8, size);
    }
  }

  std::size_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return 0;
    std::size_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const char byte = bytes_[is_little_ ? at + size - 1 - i : at + i];
      value = value << 8U | static_cast<unsigned char>(byte);
    }
    return value;
  }
  bool is_little() const { return is_little_; }

 private:
  std::string_view bytes_;
  bool is_little_;
  std::size_t begin_;
};

}  // namespace

TiffTags read_tiff_tags(std::string_view bytes) {
  TiffTags tags;
  Directory(bytes).each([&](std::uint64_t tag, int value, std::size_t, std::size_t) {
    if (tag == kOrientation) tags.orientation = value;
    if (tag == kSamples) tags.samples = value;
    if (tag == kExtraSamples) tags.extra = value;
  });
  return tags;
}

std::string with_plain_samples(std::string_view bytes) {
  std::string copy(bytes);
  const Directory directory(bytes);
  directory.each([&](std::uint64_t tag, int, std::size_t at, std::size_t size) {
    if (tag != kOrientation && tag != kExtraSamples) return;
    std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(at), size, '\0');
    copy[directory.is_little() ? at : at + size - 1] = 1;
  });
  return copy;
}

Picture with_tiff_alpha(Picture picture, const TiffTags& tags, const std::string& name) {
  if (tags.extra.value_or(0) != 0 && tags.samples == 2) {
    throw DataError(cat(name, ": a gray TIFF with alpha is not supported; save it as PNG"));
  }
  if (tags.extra.value_or(0) == 0) picture.alpha.clear();
  if (tags.extra == 1) {
    for (std::size_t i = 0; i < picture.alpha.size(); ++i) {
      const unsigned alpha = picture.alpha[i];
      if (alpha == 0 || alpha == 255) continue;
      for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
        picture.image.pixels[c] =
            static_cast<std::uint8_t>(std::min(255U, 255U * picture.image.pixels[c] / alpha));
      }
    }
  }
  return picture;
}

}  // namespace saferclip
