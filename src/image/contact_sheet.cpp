// The font is OpenCV's own of strokes, so a sheet needs no font files.
#include "saferclip/image/contact_sheet.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr int kMargin = 8;       // pixels
constexpr int kLabelWidth = 64;  // of rows with cells
constexpr int kTextHeight = 22;
constexpr double kBlurs = 7;      // the side over the blur's sigma, as of the pages' veils
constexpr int kLeastWidth = 480;  // of a sheet, for its lines of text

// One "?" for each letter outside ASCII.
std::string ascii(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if ((byte & 0xC0U) == 0x80U) continue;
    result += byte < 0x20 || byte > 0x7E ? '?' : letter;
  }
  return result;
}

void draw_text(cv::Mat& sheet, const std::string& text, int x, int y) {
  constexpr double kScale = 0.45;
  cv::putText(sheet, ascii(text), {x, y + kTextHeight - 7}, cv::FONT_HERSHEY_SIMPLEX, kScale,
              cv::Scalar(32, 32, 32), 1, cv::LINE_AA);
}

int height_of(const SheetRow& row, int side) {
  return row.cells.empty() ? kTextHeight + kMargin : side + kTextHeight + kMargin;
}

void draw_row(cv::Mat& sheet, const SheetRow& row, int y, int side) {
  draw_text(sheet, row.label, kMargin, y);
  int x = kMargin + kLabelWidth;
  for (const SheetCell& cell : row.cells) {
    if (cell.image.width != side || cell.image.height != side) {
      throw Error(cat("contact sheet: an image has ", cell.image.width, " x ", cell.image.height,
                      " pixels, expected ", side, " x ", side),
                  1);
    }
    const cv::Mat image(side, side, CV_8UC3, const_cast<std::uint8_t*>(cell.image.pixels.data()));
    cv::Mat place = sheet(cv::Rect(x, y, side, side));
    if (cell.is_blurred) {
      cv::GaussianBlur(image, place, {}, side / kBlurs, 0, cv::BORDER_REPLICATE);
    } else {
      image.copyTo(place);
    }
    draw_text(sheet, cell.caption, x, y + side);
    x += side + kMargin;
  }
}

}  // namespace

Image contact_sheet(const std::vector<SheetRow>& rows, std::int64_t side) {
  const auto edge = static_cast<int>(side);
  std::size_t columns = 0;
  int height = kMargin;
  for (const SheetRow& row : rows) {
    columns = std::max(columns, row.cells.size());
    height += height_of(row, edge);
  }
  const int width = std::max(
      kLeastWidth, 2 * kMargin + kLabelWidth + static_cast<int>(columns) * (edge + kMargin));
  Image image{width, height, {}};
  image.pixels.assign(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3, 255);
  cv::Mat sheet(height, width, CV_8UC3, image.pixels.data());
  int y = kMargin;
  for (const SheetRow& row : rows) {
    draw_row(sheet, row, y, edge);
    y += height_of(row, edge);
  }
  return image;
}

}  // namespace saferclip
