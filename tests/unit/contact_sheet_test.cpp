#include "saferclip/image/contact_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

constexpr std::int64_t kSide = 40;

Image solid(std::uint8_t red, std::uint8_t green, std::uint8_t blue, std::int64_t side = kSide) {
  Image image{side, side, {}};
  for (std::int64_t i = 0; i < side * side; ++i) {
    image.pixels.insert(image.pixels.end(), {red, green, blue});
  }
  return image;
}

// How many pixels of the box [x, x + width) x [y, y + height) have this color.
std::int64_t count(const Image& sheet, std::int64_t x, std::int64_t y, std::int64_t width,
                   std::int64_t height, const std::vector<std::uint8_t>& color) {
  std::int64_t found = 0;
  for (std::int64_t row = y; row < y + height; ++row) {
    for (std::int64_t column = x; column < x + width; ++column) {
      const auto pixel = sheet.pixels.begin() + (row * sheet.width + column) * 3;
      found += std::equal(color.begin(), color.end(), pixel) ? 1 : 0;
    }
  }
  return found;
}

TEST(ContactSheet, ImagesLieInTheirRowsInOrder) {
  const Image sheet = contact_sheet({{"a query", {}},
                                     {"before", {{solid(200, 0, 0), ""}, {solid(0, 200, 0), ""}}},
                                     {"after", {{solid(0, 0, 200), ""}}}},
                                    kSide);
  EXPECT_EQ(sheet.width, 480);
  EXPECT_EQ(sheet.height, 8 + 30 + 2 * (kSide + 30));
  EXPECT_EQ(count(sheet, 72, 38, kSide, kSide, {200, 0, 0}), kSide * kSide);
  EXPECT_EQ(count(sheet, 72 + kSide + 8, 38, kSide, kSide, {0, 200, 0}), kSide * kSide);
  EXPECT_EQ(count(sheet, 72, 38 + kSide + 30, kSide, kSide, {0, 0, 200}), kSide * kSide);
  EXPECT_EQ(count(sheet, 0, 0, sheet.width, sheet.height, {200, 0, 0}), kSide * kSide);
}

TEST(ContactSheet, TextIsDrawnAndLettersOutsideAsciiBecomeQuestionMarks) {
  const Image empty = contact_sheet({{"", {}}}, kSide);
  const std::vector<std::uint8_t> white{255, 255, 255};
  EXPECT_EQ(count(empty, 0, 0, empty.width, empty.height, white), empty.width * empty.height);
  const Image words = contact_sheet({{"gr\xC3\xB6\xC3\x9F"
                                      "e \xE6\x9C\xA8\n",
                                      {}}},
                                    kSide);
  EXPECT_LT(count(words, 0, 0, words.width, words.height, white), words.width * words.height);
  EXPECT_EQ(words.pixels, contact_sheet({{"gr??e ??", {}}}, kSide).pixels);
}

TEST(ContactSheet, LongTextIsCutAtTheEdge) {
  const Image sheet = contact_sheet({{std::string(5000, 'x'), {}}}, kSide);
  EXPECT_EQ(sheet.width, 480);
  EXPECT_EQ(sheet.height, 38);
}

TEST(ContactSheet, RefusesAnImageOfAnotherSize) {
  EXPECT_THROW(contact_sheet({{"before", {{solid(1, 2, 3, kSide - 1), ""}}}}, kSide), Error);
}

}  // namespace
}  // namespace saferclip
