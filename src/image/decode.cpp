// One decoder per kind: libjpeg row by row, libwebp, and OpenCV for PNG, BMP, TIFF and CMYK JPEGs.
// The structure is examined before any decoder runs, because OpenCV fills missing data with gray
// silently and allocates whatever size a header claims.
#include <webp/decode.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "image/fit.h"
#include "image/jpeg.h"
#include "image/orientation.h"
#include "image/picture.h"
#include "image/structure.h"
#include "image/tiff.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

// Without OpenCV's thread pool, and without its log: exceptions carry the messages.
const bool kIsQuiet = [] {
  cv::setNumThreads(0);
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  return true;
}();

// 16 bits to 8 by the high byte.
cv::Mat high_bytes(const cv::Mat& decoded) {
  cv::Mat halves(decoded.rows, decoded.cols * decoded.channels(), CV_16U, decoded.data,
                 decoded.step);
  cv::Mat high(halves.rows, halves.cols, CV_8U);
  for (int y = 0; y < halves.rows; ++y) {
    const auto* from = halves.ptr<std::uint16_t>(y);
    auto* to = high.ptr<std::uint8_t>(y);
    std::transform(from, from + halves.cols, to,
                   [](std::uint16_t v) { return static_cast<std::uint8_t>(v >> 8U); });
  }
  return high.reshape(decoded.channels());
}

// From BGR, BGRA or gray of 8 or 16 bits.
Picture to_picture(const cv::Mat& decoded, const std::string& name) {
  if (decoded.depth() != CV_16U && decoded.depth() != CV_8U) {
    throw DataError(cat(
        name,
        ": floating-point or signed samples are not supported; save it as an 8- or 16-bit PNG"));
  }
  const cv::Mat bytes = decoded.depth() == CV_16U ? high_bytes(decoded) : decoded;
  Picture picture;
  Image& image = picture.image;
  image.width = bytes.cols;
  image.height = bytes.rows;
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * 3));
  cv::Mat rgb(bytes.rows, bytes.cols, CV_8UC3, image.pixels.data());
  const int conversion = bytes.channels() == 1   ? cv::COLOR_GRAY2RGB
                         : bytes.channels() == 4 ? cv::COLOR_BGRA2RGB
                                                 : cv::COLOR_BGR2RGB;
  cv::cvtColor(bytes, rgb, conversion);
  if (bytes.channels() == 4) {
    picture.alpha.resize(static_cast<std::size_t>(image.width * image.height));
    cv::Mat alpha(bytes.rows, bytes.cols, CV_8U, picture.alpha.data());
    cv::extractChannel(bytes, alpha, 3);
  }
  return picture;
}

void require_pixels(std::int64_t width, std::int64_t height, const std::string& name,
                    const DecodeOptions& options) {
  if (width > options.max_pixels || height > options.max_pixels ||
      width * height > options.max_pixels) {
    throw DataError(cat(name, ": ", width, " x ", height, " pixels exceed the limit of ",
                        options.max_pixels, "; scale the image down"));
  }
}

// By libwebp: OpenCV passes a WebP with a damaged header on to its other decoders (GDAL, DICOM),
// which may accept it, with a size of their own.
Picture decode_webp(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) {
    throw DataError(cat(name, ": is damaged: the WebP header is invalid"));
  }
  if (features.has_animation != 0) {
    throw DataError(cat(name,
                        ": an animated WebP is not supported; extract its first frame with "
                        "`webpmux -get frame 1 FILE -o NEW.webp`, or save it as PNG"));
  }
  require_pixels(features.width, features.height, name, options);
  Picture picture;
  picture.image = {features.width, features.height, {}};
  const auto count = static_cast<std::size_t>(picture.image.width * picture.image.height);
  picture.image.pixels.resize(count * 3);
  if (features.has_alpha == 0) {
    if (WebPDecodeRGBInto(data, bytes.size(), picture.image.pixels.data(), count * 3,
                          features.width * 3) == nullptr)
      throw DataError(cat(name, ": cannot be decoded"));
    return picture;
  }
  std::vector<std::uint8_t> rgba(count * 4);
  if (WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), features.width * 4) ==
      nullptr)
    throw DataError(cat(name, ": cannot be decoded"));
  picture.alpha.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(rgba.data() + 4 * i, 3, picture.image.pixels.data() + 3 * i);
    picture.alpha[i] = rgba[4 * i + 3];
  }
  return picture;
}

Picture decode_by_opencv(std::string_view bytes, const std::string& name, PictureKind kind,
                         const DecodeOptions& options) {
  // A JPEG that gets here is CMYK, which only IMREAD_COLOR converts.
  const int flags = kind == PictureKind::kJpeg ? cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION
                                               : cv::IMREAD_UNCHANGED;
  cv::Mat decoded;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    decoded = cv::imdecode(buffer, flags);
  } catch (const cv::Exception& problem) {
    throw DataError(cat(name, ": cannot be decoded: ", problem.err));
  }
  if (decoded.empty()) throw DataError(cat(name, ": cannot be decoded"));
  require_pixels(decoded.cols, decoded.rows, name, options);
  return to_picture(decoded, name);
}

// Without pixels if the JPEG is CMYK, which OpenCV decodes.
Image decode_jpeg(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  JpegReader reader(bytes, name);
  if (!reader.is_readable()) return {};
  require_pixels(reader.width(), reader.height(), name, options);
  Image image{reader.width(), reader.height(), {}};
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * 3));
  reader.start(3);
  for (std::int64_t y = 0; y < image.height; ++y)
    reader.read_row(image.pixels.data() + y * image.width * 3);
  return image;
}

// Resized while it is decoded. Without pixels if it is CMYK or needed as a whole.
Image fit_jpeg(std::string_view bytes, const std::string& name, const Preprocessing& preprocessing,
               const DecodeOptions& options) {
  if (orientation_of(bytes, PictureKind::kJpeg, options) != 1) return {};
  JpegReader reader(bytes, name);
  if (!reader.is_readable()) return {};
  require_pixels(reader.width(), reader.height(), name, options);
  const Fit fit = fit_of(reader.width(), reader.height(), preprocessing);
  if (needs_whole_picture(reader.width(), reader.height(), fit, preprocessing.interpolation))
    return {};
  reader.start(4);
  std::int64_t next = 0;
  const auto read = [&](std::int64_t y, std::uint32_t* row) {
    for (; next <= y; ++next) reader.read_row(reinterpret_cast<std::uint8_t*>(row));
  };
  return fit_rows({reader.width(), reader.height(), read}, fit, preprocessing.interpolation);
}

PictureStructure require_picture(std::string_view bytes, const std::string& name,
                                 const DecodeOptions& options) {
  PictureStructure structure = examine_picture(bytes);
  if (!structure.problem.empty()) throw DataError(cat(name, ": ", structure.problem));
  require_pixels(structure.width, structure.height, name, options);
  return structure;
}

Picture decode_kind(std::string_view bytes, const std::string& name,
                    const PictureStructure& structure, const DecodeOptions& options) {
  if (structure.kind == PictureKind::kWebp) return decode_webp(bytes, name, options);
  if (structure.kind == PictureKind::kJpeg) {
    Picture picture;
    picture.image = decode_jpeg(bytes, name, options);
    if (!picture.image.pixels.empty()) return picture;
  }
  if (structure.kind == PictureKind::kTiff) {
    const std::string plain = with_plain_samples(bytes);
    Picture picture = decode_by_opencv(plain, name, structure.kind, options);
    picture.is_indexed = structure.is_indexed;
    return with_tiff_alpha(std::move(picture), read_tiff_tags(bytes), name);
  }
  Picture picture = decode_by_opencv(bytes, name, structure.kind, options);
  picture.is_indexed = structure.is_indexed;
  picture.is_keyed = structure.is_keyed;
  if (structure.gray_key && picture.alpha.empty())
    make_gray_transparent(picture, *structure.gray_key);
  return picture;
}

Picture decode_picture(std::string_view bytes, const std::string& name,
                       const PictureStructure& structure, const DecodeOptions& options) {
  return apply_orientation(decode_kind(bytes, name, structure, options),
                           orientation_of(bytes, structure.kind, options));
}

}  // namespace

Image decode_image(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  return decode_picture(bytes, name, require_picture(bytes, name, options), options).image;
}

Image load_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(read_file(path, kMaxPictureBytes), path.string(), options);
}

Image decode_preprocessed(std::string_view bytes, const std::string& name,
                          const Preprocessing& preprocessing, const DecodeOptions& options) {
  const PictureStructure structure = require_picture(bytes, name, options);
  if (structure.kind == PictureKind::kJpeg) {
    Image image = fit_jpeg(bytes, name, preprocessing, options);
    if (!image.pixels.empty()) return image;
  }
  return preprocess_picture(decode_picture(bytes, name, structure, options), preprocessing);
}

Image load_preprocessed(const std::filesystem::path& path, const Preprocessing& preprocessing,
                        const DecodeOptions& options) {
  return decode_preprocessed(read_file(path, kMaxPictureBytes), path.string(), preprocessing,
                             options);
}

namespace {

std::string encode(const Image& image, const char* extension, const std::vector<int>& settings) {
  const cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                    const_cast<std::uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<unsigned char> bytes;
  if (!cv::imencode(extension, bgr, bytes, settings)) {
    throw Error(cat("an image cannot be written as ", extension), 1);
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::string encode_png(const Image& image) { return encode(image, ".png", {}); }

std::string encode_jpeg(const Image& image) {
  return encode(image, ".jpg", {cv::IMWRITE_JPEG_QUALITY, 85});
}

}  // namespace saferclip
