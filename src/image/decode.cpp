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

}  // namespace

Image decode_image(std::string_view bytes, const std::string& name, const DecodeOptions& options) {
  const PictureStructure structure = examine_picture(bytes);
  if (!structure.problem.empty()) throw DataError(cat(name, ": ", structure.problem));
  if (structure.width * structure.height > options.max_pixels) {
    throw DataError(cat(name, ": ", structure.width, " x ", structure.height,
                        " pixels are more than ", options.max_pixels));
  }
  cv::Mat decoded;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    decoded = cv::imdecode(buffer, decode_flags(structure.kind, options));
  } catch (const cv::Exception& problem) {
    throw DataError(cat(name, ": cannot be decoded: ", problem.err));
  }
  if (decoded.empty()) throw DataError(cat(name, ": cannot be decoded"));
  if (static_cast<std::int64_t>(decoded.cols) * decoded.rows > options.max_pixels) {
    throw DataError(cat(name, ": ", decoded.cols, " x ", decoded.rows, " pixels are more than ",
                        options.max_pixels));
  }
  return to_rgb(decoded, name);
}

Image load_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(read_file(path), path.string(), options);
}

std::string encode_png(const Image& image) {
  const cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                    const_cast<std::uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<unsigned char> bytes;
  if (!cv::imencode(".png", bgr, bytes)) throw Error("a picture cannot be written as PNG", 1);
  return {bytes.begin(), bytes.end()};
}

}  // namespace saferclip
