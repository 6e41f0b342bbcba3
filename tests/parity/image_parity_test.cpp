// Pixels against Pillow (scripts/fixtures/image.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

const std::string kFolder = std::string(SAFERCLIP_FIXTURES) + "/image/";

nlohmann::json expected() { return nlohmann::json::parse(read_file(kFolder + "expected.json")); }

std::string sha(const Image& image) {
  return sha256_hex(std::string(image.pixels.begin(), image.pixels.end()));
}

TEST(DecodeParity, EveryKindEqualsPillow) {
  std::size_t compared = 0;
  const auto entries = expected()["files"];
  for (const auto& entry : entries) {
    const Image image = load_image(kFolder + entry["file"].get<std::string>());
    if (entry.value("cmyk", false)) {
      const std::string wanted = read_file(kFolder + "cmyk.rgb");
      ASSERT_EQ(wanted.size(), image.pixels.size());
      int worst = 0;
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<unsigned char>(wanted[i]) - image.pixels[i]));
      }
      EXPECT_LE(worst, 1) << entry["file"];
    } else {
      EXPECT_EQ(sha(image), entry["sha256"]) << entry["file"];
    }
    ++compared;
  }
  EXPECT_EQ(compared, 26U);
}

TEST(ResizeParity, EqualsPillow) {
  std::size_t compared = 0;
  const auto entries = expected()["resized"];
  for (const auto& entry : entries) {
    const Image image = load_image(kFolder + entry["file"].get<std::string>());
    const auto kind =
        entry["filter"] == "bicubic" ? Interpolation::kBicubic : Interpolation::kBilinear;
    EXPECT_EQ(sha(resize_image(image, entry["to"][0], entry["to"][1], kind)), entry["sha256"])
        << entry;
    ++compared;
  }
  EXPECT_EQ(compared, 100U);
}

TEST(CropParity, BothRoundings) {
  std::size_t compared = 0;
  const auto entries = expected()["crops"];
  for (const auto& entry : entries) {
    Preprocessing p;
    p.image_size = entry["n"];
    p.crop_rounding = entry["rounding"] == "floor" ? CropRounding::kFloor : CropRounding::kHalfEven;
    EXPECT_EQ(sha(preprocess_image(load_image(kFolder + entry["file"].get<std::string>()), p)),
              entry["sha256"])
        << entry;
    ++compared;
  }
  EXPECT_EQ(compared, 60U);
}

}  // namespace
}  // namespace saferclip
