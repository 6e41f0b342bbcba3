#include <webp/decode.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "image/fit.h"
#include "image/jpeg.h"
#include "image/structure.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

// No thread pool of OpenCV's own, and no second voice: what is wrong is said in the exception.
const bool kIsQuiet = [] {
  cv::setNumThreads(0);
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  return true;
}();

int decode_flags(PictureKind kind, const DecodeOptions& options) {
  if (kind == PictureKind::kJpeg) {
    return options.exif_rotate ? cv::IMREAD_COLOR
                               : cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION;
  }
  return cv::IMREAD_UNCHANGED;
}

// BGR, BGRA or grey of 8 or 16 bits to RGB of 8 bits: the high byte, alpha dropped.
Image to_rgb(const cv::Mat& decoded, const std::string& name) {
  cv::Mat bytes = decoded;
  if (decoded.depth() == CV_16U) {
    cv::Mat halves(decoded.rows, decoded.cols * decoded.channels(), CV_16U, decoded.data,
                   decoded.step);
    cv::Mat high(halves.rows, halves.cols, CV_8U);
    for (int y = 0; y < halves.rows; ++y) {
      const auto* from = halves.ptr<std::uint16_t>(y);
      auto* to = high.ptr<std::uint8_t>(y);
      std::transform(from, from + halves.cols, to,
                     [](std::uint16_t v) { return static_cast<std::uint8_t>(v >> 8U); });
    }
    bytes = high.reshape(decoded.channels());
  } else if (decoded.depth() != CV_8U) {
    throw DataError(cat(name, ": floating-point or signed samples are not supported"));
  }
  Image image;
  image.width = bytes.cols;
  image.height = bytes.rows;
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * 3));
  cv::Mat rgb(bytes.rows, bytes.cols, CV_8UC3, image.pixels.data());
  const int conversion = bytes.channels() == 1   ? cv::COLOR_GRAY2RGB
                         : bytes.channels() == 4 ? cv::COLOR_BGRA2RGB
                                                 : cv::COLOR_BGR2RGB;
  cv::cvtColor(bytes, rgb, conversion);
  return image;
}

void require_pixels(std::int64_t width, std::int64_t height, const std::string& name,
                    const DecodeOptions& options) {
  if (width > options.max_pixels || height > options.max_pixels ||
      width * height > options.max_pixels) {
    throw DataError(
        cat(name, ": ", width, " x ", height, " pixels are more than ", options.max_pixels));
  }
}

// By libwebp itself: OpenCV hands a WebP whose header is damaged to whatever other decoder it was
// built with (GDAL, DICOM) and that one may take it for its own, with sizes of its own.
Image decode_webp(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) {
    throw DataError(cat(name, ": is damaged: the WebP header is not valid"));
  }
  if (features.has_animation != 0) throw DataError(cat(name, ": animated WebP is not supported"));
  require_pixels(features.width, features.height, name, options);
  Image image{features.width, features.height, {}};
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * 3));
  if (WebPDecodeRGBInto(data, bytes.size(), image.pixels.data(), image.pixels.size(),
                        features.width * 3) == nullptr) {
    throw DataError(cat(name, ": cannot be decoded"));
  }
  return image;
}

Image decode_by_opencv(std::string_view bytes, const std::string& name, PictureKind kind,
                       const DecodeOptions& options) {
  cv::Mat decoded;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    decoded = cv::imdecode(buffer, decode_flags(kind, options));
  } catch (const cv::Exception& problem) {
    throw DataError(cat(name, ": cannot be decoded: ", problem.err));
  }
  if (decoded.empty()) throw DataError(cat(name, ": cannot be decoded"));
  require_pixels(decoded.cols, decoded.rows, name, options);
  return to_rgb(decoded, name);
}

// Without pixels when this JPEG is for OpenCV: CMYK, or to be turned as its EXIF says.
Image decode_jpeg(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  if (options.exif_rotate) return {};
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

// The same, resized while it is decoded; also without pixels when it is needed as a whole.
Image fit_jpeg(std::string_view bytes, const std::string& name, const Preprocessing& preprocessing,
               const DecodeOptions& options) {
  if (options.exif_rotate) return {};
  JpegReader reader(bytes, name);
  if (!reader.is_readable()) return {};
  require_pixels(reader.width(), reader.height(), name, options);
  const Fit fit = fit_of(reader.width(), reader.height(), preprocessing);
  if (starts_with_columns(reader.width(), reader.height(), fit)) return {};
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

Image decode_kind(std::string_view bytes, const std::string& name, PictureKind kind,
                  const DecodeOptions& options) {
  if (kind == PictureKind::kWebp) return decode_webp(bytes, name, options);
  Image image;
  if (kind == PictureKind::kJpeg) image = decode_jpeg(bytes, name, options);
  return image.pixels.empty() ? decode_by_opencv(bytes, name, kind, options) : image;
}

}  // namespace

Image decode_image(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  return decode_kind(bytes, name, require_picture(bytes, name, options).kind, options);
}

Image load_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(read_file(path, kMaxPictureBytes), path.string(), options);
}

Image decode_preprocessed(std::string_view bytes, const std::string& name,
                          const Preprocessing& preprocessing, const DecodeOptions& options) {
  const PictureKind kind = require_picture(bytes, name, options).kind;
  if (kind == PictureKind::kJpeg) {
    Image image = fit_jpeg(bytes, name, preprocessing, options);
    if (!image.pixels.empty()) return image;
  }
  return preprocess_image(decode_kind(bytes, name, kind, options), preprocessing);
}

Image load_preprocessed(const std::filesystem::path& path, const Preprocessing& preprocessing) {
  return decode_preprocessed(read_file(path, kMaxPictureBytes), path.string(), preprocessing);
}

namespace {

std::string encode(const Image& image, const char* extension, const std::vector<int>& settings) {
  const cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                    const_cast<std::uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<unsigned char> bytes;
  if (!cv::imencode(extension, bgr, bytes, settings)) {
    throw Error(cat("a picture cannot be written as ", extension), 1);
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::string encode_png(const Image& image) { return encode(image, ".png", {}); }

std::string encode_jpeg(const Image& image) {
  return encode(image, ".jpg", {cv::IMWRITE_JPEG_QUALITY, 85});
}

}  // namespace saferclip
