// The containers are walked by hand, because the decoders either ignore orientation or apply it in
// their own way, and only the first bytes of the metadata matter. Every length is checked: a broken
// chunk ends the search, it is never an error.
#include "image/orientation.h"

#include <zlib.h>

#include <optional>
#include <string>
#include <utility>

#include "image/tiff.h"

namespace saferclip {
namespace {

using namespace std::string_view_literals;

// A number of `size` bytes; 0 if it exceeds `bytes`.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size, bool is_little) {
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char byte = bytes[is_little ? at + size - 1 - i : at + i];
    value = value << 8U | static_cast<unsigned char>(byte);
  }
  return value;
}

// EXIF data is a TIFF file.
std::optional<int> tiff_orientation(std::string_view tiff) {
  if (!tiff.starts_with("II") && !tiff.starts_with("MM")) return std::nullopt;
  return read_tiff_tags(tiff).orientation;
}

// `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
std::optional<int> xmp_orientation(std::string_view packet) {
  constexpr std::string_view kKey = "tiff:Orientation";
  for (std::size_t at = packet.find(kKey); at != std::string_view::npos;
       at = packet.find(kKey, at + 1)) {
    std::string_view rest = packet.substr(at + kKey.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

// The metadata that may contain an orientation.
struct Metadata {
  std::string exif;  // from the TIFF header on
  std::string xmp;
};

std::string_view without_exif_mark(std::string_view exif) {
  return exif.starts_with("Exif\0\0"sv) ? exif.substr(6) : exif;
}

Metadata jpeg_metadata(std::string_view bytes) {
  Metadata metadata;
  for (std::size_t i = 2; i + 4 <= bytes.size() && bytes[i] == '\xFF';) {
    const auto marker = static_cast<unsigned char>(bytes[i + 1]);
    if (marker == 0xFF) {
      ++i;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) break;
    const auto length = static_cast<std::size_t>(number(bytes, i + 2, 2, false));
    if (length < 2 || length > bytes.size() - i - 2) break;
    const std::string_view body = bytes.substr(i + 4, length - 2);
    if (marker == 0xE1 && body.starts_with("Exif\0\0"sv)) metadata.exif += body.substr(6);
    constexpr std::string_view kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
    if (marker == 0xE1 && body.starts_with(kXmp)) metadata.xmp = body.substr(kXmp.size());
    i += 2 + length;
  }
  return metadata;
}

std::string inflated(std::string_view bytes) {
  constexpr std::size_t kMaxInflated = std::size_t{1} << 24U;
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return {};
  std::string text;
  std::string block(1 << 14, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int status = Z_OK;
  while (status == Z_OK && text.size() < kMaxInflated) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(block.data(), block.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return text;
}

// ImageMagick's text form of EXIF: three lines, then hexadecimal digits.
std::string unhex(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) continue;
    if (high >= 0) bytes.push_back(static_cast<char>(high * 16 + digit));
    high = high < 0 ? digit : -1;
  }
  return bytes;
}

void read_png_text(std::string_view kind, std::string_view body, Metadata& metadata) {
  const std::size_t end = body.find('\0');
  if (end == std::string_view::npos) return;
  const std::string_view key = body.substr(0, end);
  std::string_view value = body.substr(end + 1);
  if (key == "Raw profile type exif" && metadata.exif.empty()) {
    const std::string text =
        kind == "zTXt" && !value.empty() ? inflated(value.substr(1)) : std::string(value);
    metadata.exif = without_exif_mark(unhex(text));
  }
  if (kind != "iTXt" || key != "XML:com.adobe.xmp" || value.size() < 2) return;
  const bool is_compressed = value[0] != 0;
  value.remove_prefix(2);
  for (int part = 0; part < 2; ++part) {  // language, translated keyword
    const std::size_t zero = value.find('\0');
    if (zero == std::string_view::npos) return;
    value.remove_prefix(zero + 1);
  }
  metadata.xmp = is_compressed ? inflated(value) : std::string(value);
}

Metadata png_metadata(std::string_view bytes) {
  Metadata metadata;
  for (std::size_t i = 8; i + 12 <= bytes.size();) {
    const auto length = static_cast<std::size_t>(number(bytes, i, 4, false));
    if (length > bytes.size() - i - 12) break;
    const std::string_view kind = bytes.substr(i + 4, 4);
    const std::string_view body = bytes.substr(i + 8, length);
    if (kind == "eXIf") metadata.exif = without_exif_mark(body);
    if (kind == "tEXt" || kind == "zTXt" || kind == "iTXt") read_png_text(kind, body, metadata);
    i += 12 + length;
  }
  return metadata;
}

Metadata webp_metadata(std::string_view bytes) {
  Metadata metadata;
  for (std::size_t i = 12; i + 8 <= bytes.size();) {
    const auto length = static_cast<std::size_t>(number(bytes, i + 4, 4, true));
    if (length > bytes.size() - i - 8) break;
    const std::string_view body = bytes.substr(i + 8, length);
    if (bytes.substr(i, 4) == "EXIF") metadata.exif = without_exif_mark(body);
    if (bytes.substr(i, 4) == "XMP ") metadata.xmp = body;
    i += 8 + length + length % 2;
  }
  return metadata;
}

// The source pixel that goes to (x, y).
std::pair<std::int64_t, std::int64_t> source_of(std::int64_t x, std::int64_t y, std::int64_t width,
                                                std::int64_t height, int orientation) {
  switch (orientation) {
    case 2:
      return {width - 1 - x, y};
    case 3:
      return {width - 1 - x, height - 1 - y};
    case 4:
      return {x, height - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, height - 1 - x};
    case 7:
      return {width - 1 - y, height - 1 - x};
    default:  // 8
      return {width - 1 - y, x};
  }
}

}  // namespace

int orientation_of(std::string_view bytes, PictureKind kind, const DecodeOptions& options) {
  std::optional<int> found;
  if (kind == PictureKind::kTiff) {
    found = tiff_orientation(bytes);
  } else if (options.exif_rotate) {
    const Metadata metadata = kind == PictureKind::kJpeg   ? jpeg_metadata(bytes)
                              : kind == PictureKind::kPng  ? png_metadata(bytes)
                              : kind == PictureKind::kWebp ? webp_metadata(bytes)
                                                           : Metadata{};
    found = tiff_orientation(metadata.exif);
    if (!found) found = xmp_orientation(metadata.xmp);
  }
  return found && *found >= 1 && *found <= 8 ? *found : 1;
}

Picture apply_orientation(Picture picture, int orientation) {
  if (orientation == 1) return picture;
  const Image& from = picture.image;
  Picture result;
  result.is_indexed = picture.is_indexed;
  result.is_keyed = picture.is_keyed;
  Image& to = result.image;
  const bool is_swapped = orientation >= 5;
  to.width = is_swapped ? from.height : from.width;
  to.height = is_swapped ? from.width : from.height;
  to.pixels.resize(from.pixels.size());
  result.alpha.resize(picture.alpha.size());
  std::size_t i = 0;
  for (std::int64_t y = 0; y < to.height; ++y) {
    for (std::int64_t x = 0; x < to.width; ++x, ++i) {
      const auto [column, row] = source_of(x, y, from.width, from.height, orientation);
      const auto at = static_cast<std::size_t>(row * from.width + column);
      for (std::size_t c = 0; c < 3; ++c) to.pixels[3 * i + c] = from.pixels[3 * at + c];
      if (!picture.alpha.empty()) result.alpha[i] = picture.alpha[at];
    }
  }
  return result;
}

}  // namespace saferclip
