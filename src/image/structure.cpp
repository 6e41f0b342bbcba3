// Walks each format's containers to the end marker, so that a truncated download is refused instead
// of trained on, and finds the size, so that a decompression bomb is refused before memory is
// allocated. Of several claimed sizes the largest counts.
#include "image/structure.h"

#include <zlib.h>

#include <algorithm>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  std::size_t size() const { return bytes_.size(); }
  std::uint8_t at(std::size_t i) const { return static_cast<std::uint8_t>(bytes_[i]); }
  std::uint32_t big16(std::size_t i) const {
    return static_cast<std::uint32_t>(at(i) << 8U) | at(i + 1);
  }
  std::uint32_t big32(std::size_t i) const { return (big16(i) << 16U) | big16(i + 2); }
  std::uint32_t little32(std::size_t i) const {
    return static_cast<std::uint32_t>(at(i)) | (static_cast<std::uint32_t>(at(i + 1)) << 8U) |
           (static_cast<std::uint32_t>(at(i + 2)) << 16U) |
           (static_cast<std::uint32_t>(at(i + 3)) << 24U);
  }
  bool starts_with(std::string_view prefix) const { return bytes_.starts_with(prefix); }
  std::string_view part(std::size_t begin, std::size_t size) const {
    return bytes_.substr(begin, size);
  }

 private:
  std::string_view bytes_;
};

bool is_frame_header(std::uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

// Walks the segments and the entropy-coded data between them up to the end-of-image marker.
void examine_jpeg(const Bytes& bytes, PictureStructure& result) {
  std::size_t i = 2;
  bool has_scan = false;
  while (i + 1 < bytes.size()) {
    if (bytes.at(i) != 0xFF) {
      if (!has_scan) {
        result.problem = "is damaged: a JPEG marker is missing";
        return;
      }
      ++i;
      continue;
    }
    const std::uint8_t marker = bytes.at(i + 1);
    if (marker == 0xFF) {
      ++i;
    } else if (marker == 0x00 || (marker >= 0xD0 && marker <= 0xD7) || marker == 0x01) {
      i += 2;  // stuffed byte, restart marker
    } else if (marker == 0xD9) {
      if (!has_scan) result.problem = "is damaged: the JPEG has no image data";
      return;
    } else {
      if (i + 4 > bytes.size()) break;
      const std::size_t length = bytes.big16(i + 2);
      if (is_frame_header(marker) && i + 9 <= bytes.size()) {
        // A second frame header is an error, but a decoder has read the first by then.
        result.height = std::max<std::int64_t>(result.height, bytes.big16(i + 5));
        result.width = std::max<std::int64_t>(result.width, bytes.big16(i + 7));
      }
      if (marker == 0xDA) has_scan = true;
      i += 2 + length;
    }
  }
  result.problem = "is truncated: the JPEG has no end";
}

constexpr std::uint8_t kPngGray = 0;
constexpr std::uint8_t kPngPalette = 3;

void examine_png(const Bytes& bytes, PictureStructure& result) {
  std::size_t i = 8;
  std::uint8_t depth = 8;
  std::uint8_t color_type = 2;
  while (i + 12 <= bytes.size()) {
    const std::size_t length = bytes.big32(i);
    if (length > bytes.size() - i - 12) break;
    const std::string_view body = bytes.part(i + 4, length + 4);
    const auto crc = static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
    if (crc != bytes.big32(i + 8 + length)) {
      result.problem = "is damaged: a PNG checksum is wrong";
      return;
    }
    if (body.starts_with("IHDR") && length >= 8) {
      result.width = std::max<std::int64_t>(result.width, bytes.big32(i + 8));
      result.height = std::max<std::int64_t>(result.height, bytes.big32(i + 12));
      if (length >= 10) {
        depth = bytes.at(i + 16);
        color_type = bytes.at(i + 17);
      }
      result.is_indexed = color_type == kPngPalette || depth == 1;
    }
    if (body.starts_with("tRNS")) result.is_keyed = color_type != kPngPalette;
    if (body.starts_with("tRNS") && length == 2 && color_type == kPngGray && depth <= 8)
      result.gray_key = bytes.big16(i + 8);
    if (body.starts_with("IEND")) return;
    i += 12 + length;
  }
  result.problem = "is truncated: the PNG has no end";
}

void examine_webp(const Bytes& bytes, PictureStructure& result) {
  if (static_cast<std::uint64_t>(bytes.little32(4)) + 8 > bytes.size()) {
    result.problem = "is truncated: the WebP is shorter than its header says";
  }
}

// Whether entry i of a BMP's palette is gray i for all i; Pillow opens such a file as gray.
bool has_gray_palette(const Bytes& bytes, bool is_os2, std::uint32_t depth) {
  const std::size_t begin = 14 + bytes.little32(14);
  const std::size_t entry = is_os2 ? 3 : 4;
  const std::size_t stated = is_os2 || bytes.size() < 50 ? 0 : bytes.little32(46);
  const std::size_t count = stated == 0 ? std::size_t{1} << depth : stated;
  if (count > 256 || begin + count * entry > bytes.size()) return false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t gray = count == 2 ? i * 255 : i;
    for (std::size_t c = 0; c < 3; ++c) {
      if (bytes.at(begin + i * entry + c) != gray) return false;
    }
  }
  return true;
}

void examine_bmp(const Bytes& bytes, PictureStructure& result) {
  if (bytes.size() < 26) {
    result.problem = "is truncated: the BMP has no header";
    return;
  }
  if (bytes.little32(14) == 12) {  // OS/2's header: 16-bit sizes
    result.width = bytes.little32(18) & 0xFFFFU;
    result.height = bytes.little32(18) >> 16U;
  } else {
    result.width = static_cast<std::int32_t>(bytes.little32(18));
    result.height =
        std::abs(static_cast<std::int64_t>(static_cast<std::int32_t>(bytes.little32(22))));
  }
  const bool is_os2 = bytes.little32(14) == 12;
  const std::size_t depth_at = is_os2 ? 24 : 28;
  if (depth_at + 2 <= bytes.size()) {
    const std::uint32_t depth = bytes.at(depth_at);
    result.is_indexed =
        depth == 1 || (depth <= 8 && depth > 0 && !has_gray_palette(bytes, is_os2, depth));
  }
  if (bytes.little32(2) > bytes.size())
    result.problem = "is truncated: the BMP is shorter than its header says";
}

// Width and height are tags 256 and 257 of the first directory, with 16 or 32 bits.
void examine_tiff(const Bytes& bytes, PictureStructure& result) {
  const bool is_little = bytes.starts_with("II");
  const auto read = [&](std::size_t at, std::size_t size) -> std::uint64_t {
    if (at > bytes.size() || size > bytes.size() - at) return 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8U | bytes.at(is_little ? at + size - 1 - i : at + i);
    }
    return value;
  };
  const std::size_t directory = read(4, 4);
  const std::uint64_t count = read(directory, 2);
  bool is_bilevel = true;  // the default of a TIFF that does not state its depth
  bool has_palette = false;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    const std::uint64_t tag = read(entry, 2);
    const auto value = static_cast<std::int64_t>(read(entry + 8, read(entry + 2, 2) == 3 ? 2 : 4));
    if (tag == 256) result.width = std::max(result.width, value);
    if (tag == 257) result.height = std::max(result.height, value);
    if (tag == 258) is_bilevel = value == 1;
    if (tag == 262) has_palette = value == 3;
  }
  result.is_indexed = has_palette || is_bilevel;
  if (result.width == 0 || result.height == 0) {
    result.problem = "is damaged: the TIFF does not state its size";
  }
}

// Names a kind of picture that is not supported, with the cure.
std::string foreign_picture(const Bytes& bytes) {
  using namespace std::string_view_literals;
  const auto other = [](const char* kind) {
    return cat("is ", kind,
               " image, which is not supported; save it as PNG or JPEG, for example with `magick "
               "FILE[0] NEW.png` or Pillow's Image.open(FILE).convert(\"RGBA\").save(\"NEW.png\")");
  };
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return other("a GIF");
  if (bytes.starts_with("\0\0\0\x0CjP  \r\n\x87\n"sv) || bytes.starts_with("\xFF\x4F\xFF\x51"sv))
    return other("a JPEG 2000");
  if (bytes.starts_with("\xFF\x0A"sv) || bytes.starts_with("\0\0\0\x0CJXL \r\n\x87\n"sv))
    return other("a JPEG XL");
  if (bytes.size() >= 12 && bytes.part(4, 4) == "ftyp"sv) {
    const std::string_view brand = bytes.part(8, 4);
    if (brand == "avif"sv || brand == "avis"sv) return other("an AVIF");
    if (brand == "mif1"sv || brand == "msf1"sv || brand.starts_with("hei"sv) ||
        brand.starts_with("hev"sv))
      return other("a HEIF");
  }
  if (bytes.starts_with("8BPS"sv)) return other("a Photoshop");
  if (bytes.starts_with("\0\0\1\0"sv)) return other("a Windows icon");
  if (bytes.starts_with("<svg"sv) || bytes.starts_with("<?xml"sv)) return other("an SVG");
  if (bytes.size() >= 2 && bytes.at(0) == 'P' && bytes.at(1) >= '1' && bytes.at(1) <= '7')
    return other("a PNM");
  return "is not a JPEG, PNG, WebP, BMP or TIFF image";
}

}  // namespace

PictureStructure examine_picture(std::string_view data) {
  using namespace std::string_view_literals;
  const Bytes bytes(data);
  PictureStructure result;
  if (bytes.size() == 0) {
    result.problem = "is empty";
  } else if (bytes.starts_with("\xFF\xD8\xFF"sv)) {
    result.kind = PictureKind::kJpeg;
    examine_jpeg(bytes, result);
  } else if (bytes.starts_with("\x89PNG\r\n\x1A\n"sv)) {
    result.kind = PictureKind::kPng;
    examine_png(bytes, result);
  } else if (bytes.starts_with("RIFF"sv) && bytes.size() >= 16 && bytes.part(8, 4) == "WEBP"sv) {
    result.kind = PictureKind::kWebp;
    examine_webp(bytes, result);
  } else if (bytes.starts_with("BM"sv)) {
    result.kind = PictureKind::kBmp;
    examine_bmp(bytes, result);
  } else if (bytes.starts_with("II*\0"sv) || bytes.starts_with("MM\0*"sv)) {
    result.kind = PictureKind::kTiff;
    examine_tiff(bytes, result);
  } else {
    result.problem = foreign_picture(bytes);
  }
  return result;
}

}  // namespace saferclip
