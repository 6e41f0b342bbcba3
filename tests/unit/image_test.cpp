#include "saferclip/image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = std::string(SAFERCLIP_FIXTURES) + "/image/";

std::string refusal(const std::string& bytes) {
  try {
    decode_image(bytes, "x");
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Decode, RefusesWhatIsCutOff) {
  for (const char* name :
       {"rgb_0.jpg", "progressive.jpg", "rgb.png", "rgba.webp", "rgb.bmp", "rgb.tiff"}) {
    const std::string bytes = read_file(kFolder + name);
    EXPECT_EQ(refusal(bytes), "accepted") << name;
    for (const double share : {0.1, 0.5, 0.9}) {
      const auto size = static_cast<std::size_t>(static_cast<double>(bytes.size()) * share);
      EXPECT_NE(refusal(bytes.substr(0, size)), "accepted") << name << " cut at " << share;
    }
  }
}

// A damaged WebP must not become another decoder's file: this one is DICOM as well, of 4 GB.
TEST(Decode, ADamagedWebpIsNothingElse) {
  const std::string seed =
      read_file(std::string(SAFERCLIP_SOURCE) + "/tests/fuzz/seeds/image/webp_and_dicom");
  EXPECT_THAT(refusal(seed), HasSubstr("the WebP header is invalid"));
}

TEST(Decode, DimensionBombs) {
  std::string tiff = read_file(kFolder + "rgb.tiff");
  EXPECT_EQ(refusal(tiff), "accepted");
  const auto directory = static_cast<std::size_t>(static_cast<unsigned char>(tiff[4])) |
                         static_cast<std::size_t>(static_cast<unsigned char>(tiff[5])) << 8U |
                         static_cast<std::size_t>(static_cast<unsigned char>(tiff[6])) << 16U;
  for (std::size_t entry = directory + 2; entry < directory + 26; entry += 12) {
    tiff[entry + 2] = 4;  // a size of 32 bits
    tiff.replace(entry + 8, 4, std::string("\0\0\1\0", 4));
  }
  EXPECT_THAT(refusal(tiff), HasSubstr("65536 x 65536 pixels exceed the limit of"));
  std::string bmp = read_file(kFolder + "rgb.bmp");
  bmp.replace(18, 8, std::string("\0\0\1\0\0\0\1\0", 8));
  EXPECT_THAT(refusal(bmp), HasSubstr("65536 x 65536 pixels exceed the limit of"));
}

TEST(Decode, SaysWhatIsWrong) {
  EXPECT_THAT(refusal(""), HasSubstr("x: is empty"));
  EXPECT_THAT(refusal("GIF89a........"),
              HasSubstr("is a GIF image, which is not supported; save it"));
  const std::string avif(
      "\0\0\0\x1C"
      "ftypavif\0\0\0\0",
      16);
  EXPECT_THAT(refusal(avif), HasSubstr("is an AVIF image"));
  const std::string jp2("\0\0\0\x0CjP  \r\n\x87\n....", 16);
  EXPECT_THAT(refusal(jp2), HasSubstr("is a JPEG 2000 image"));
  EXPECT_THAT(refusal("<svg xmlns=..."), HasSubstr("SVG"));
  EXPECT_THAT(refusal("some text"), HasSubstr("is not a JPEG"));
  std::string png = read_file(kFolder + "rgb.png");
  png[60] = static_cast<char>(png[60] ^ 1);
  EXPECT_THAT(refusal(png), HasSubstr("checksum"));
  DecodeOptions small;
  small.max_pixels = 100;
  EXPECT_THROW(decode_image(read_file(kFolder + "rgb.png"), "x", small), DataError);
  EXPECT_THROW(load_image(kFolder + "none.png"), DataError);
  EXPECT_THROW(load_image(kFolder), DataError);
}

TEST(Decode, ExifOrientationOnRequest) {
  const Image plain = load_image(kFolder + "rotated.jpg");
  DecodeOptions options;
  options.exif_rotate = true;
  const Image turned = load_image(kFolder + "rotated.jpg", options);
  EXPECT_EQ(plain.width, turned.height);
  EXPECT_EQ(plain.height, turned.width);
}

TEST(Encode, PngRoundTrip) {
  const Image image = load_image(kFolder + "rgb.png");
  const Image again = decode_image(encode_png(image), "again");
  EXPECT_EQ(again.pixels, image.pixels);
}

TEST(Preprocess, ExtremeRatioTakesOnlyItsWindow) {
  Image strip;
  strip.width = 1;
  strip.height = 6000;
  strip.pixels.assign(18000, 7);
  Preprocessing p;
  EXPECT_EQ(preprocess_image(strip, p).pixels.size(), 224U * 224 * 3);
  p.resize_mode = ResizeMode::kSquash;
  EXPECT_EQ(preprocess_image(strip, p).pixels.front(), 7);
}

Image pattern(std::int64_t width, std::int64_t height) {
  Image image{width, height, {}};
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < width * height * 3; ++i) {
    state = state * 1664525U + 1013904223U;
    image.pixels.push_back(static_cast<std::uint8_t>((state >> 24U) / 4 + i / 3 % width));
  }
  return image;
}

TEST(Preprocess, WhileDecodingGivesTheSameBytes) {
  std::vector<std::string> files;
  for (const char* name : {"rgb_0.jpg", "rgb_1.jpg", "rgb_2.jpg", "progressive.jpg", "grey.jpg",
                           "cmyk.jpg", "rotated.jpg", "rgb.png", "rgb.webp"})
    files.push_back(read_file(kFolder + name));
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{
           {1, 1}, {1, 70}, {70, 1}, {16, 16}, {17, 33}, {33, 17}, {40, 90}, {1031, 40}, {24, 24}})
    files.push_back(encode_jpeg(pattern(width, height)));
  for (const std::string& bytes : files) {
    for (const std::int64_t size : {1, 16, 23, 24, 50}) {
      for (const bool is_squash : {false, true}) {
        Preprocessing p;
        p.image_size = size;
        p.resize_mode = is_squash ? ResizeMode::kSquash : ResizeMode::kShortest;
        for (const bool rotate : {false, true}) {
          DecodeOptions options;
          options.exif_rotate = rotate;
          const Image whole = preprocess_image(decode_image(bytes, "x", options), p);
          EXPECT_EQ(decode_preprocessed(bytes, "x", p, options).pixels, whole.pixels) << size;
        }
      }
    }
  }
}

}  // namespace
}  // namespace saferclip
