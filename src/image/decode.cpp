#include <webp/decode.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

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

}  // namespace

Image decode_image(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  const PictureStructure structure = examine_picture(bytes);
  if (!structure.problem.empty()) throw DataError(cat(name, ": ", structure.problem));
  require_pixels(structure.width, structure.height, name, options);
  if (structure.kind == PictureKind::kWebp) return decode_webp(bytes, name, options);
  cv::Mat decoded;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    decoded = cv::imdecode(buffer, decode_flags(structure.kind, options));
  } catch (const cv::Exception& problem) {
    throw DataError(cat(name, ": cannot be decoded: ", problem.err));
  }
  if (decoded.empty()) throw DataError(cat(name, ": cannot be decoded"));
  require_pixels(decoded.cols, decoded.rows, name, options);
  return to_rgb(decoded, name);
}

Image load_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(read_file(path), path.string(), options);
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
