// Transparent, indexed and turned pictures against transformers' image processor and the order of
// torchvision's transforms (scripts/fixtures/image_clients.py).
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace {

nlohmann::json expected() {
  return nlohmann::json::parse(read_file(std::string(SAFERCLIP_FIXTURES) + "/image/clients.json"));
}

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string sha(const Image& image) {
  return sha256_hex(std::string(image.pixels.begin(), image.pixels.end()));
}

Preprocessing preprocessing_of(const nlohmann::json& fit) {
  static const std::map<std::string, Interpolation> kFilters{
      {"nearest", Interpolation::kNearest},   {"lanczos", Interpolation::kLanczos},
      {"bilinear", Interpolation::kBilinear}, {"bicubic", Interpolation::kBicubic},
      {"box", Interpolation::kBox},           {"hamming", Interpolation::kHamming}};
  static const std::map<std::string, ResizeMode> kModes{{"shortest", ResizeMode::kShortest},
                                                        {"longest", ResizeMode::kLongest},
                                                        {"squash", ResizeMode::kSquash},
                                                        {"none", ResizeMode::kNone}};
  const bool is_transformers = fit["client"] == "transformers";
  Preprocessing p;
  p.image_size = fit["side"];
  p.resize_to = fit["resize_to"];
  p.resize_mode = kModes.at(fit["mode"]);
  p.interpolation = kFilters.at(fit["filter"]);
  p.crop_rounding = is_transformers ? CropRounding::kFloor : CropRounding::kHalfEven;
  p.transparency = is_transformers ? Transparency::kOnWhite : Transparency::kDropped;
  p.fill = fit.value("fill", 0);
  return p;
}

TEST(ClientPixelsParity, EqualsTransformersAndTorchvision) {
  const auto all = expected();
  std::map<std::string, std::string> files;
  for (const auto& [name, digits] : all["files"].items())
    files[name] = from_hex(digits.get<std::string>());
  std::size_t compared = 0;
  for (const auto& fit : all["fits"]) {
    const std::string& bytes = files.at(fit["file"]);
    EXPECT_EQ(sha(decode_preprocessed(bytes, "x", preprocessing_of(fit))), fit["sha256"]) << fit;
    ++compared;
  }
  EXPECT_GT(compared, 200U);
}

TEST(ClientPixelsParity, TurnsAsPillowDoes) {
  const auto all = expected();
  std::size_t compared = 0;
  for (const auto& turn : all["turns"]) {
    const std::string bytes = from_hex(all["files"][turn["file"]].get<std::string>());
    DecodeOptions options;
    EXPECT_EQ(sha(decode_image(bytes, "x", options)), turn["plain"]) << turn;
    options.exif_rotate = true;
    const Image turned = decode_image(bytes, "x", options);
    EXPECT_EQ(sha(turned), turn["turned"]) << turn;
    for (const auto transparency : {Transparency::kOnWhite, Transparency::kDropped}) {
      Preprocessing p;
      p.image_size = 8;
      p.transparency = transparency;
      if (turn["file"].get<std::string>().starts_with("jpeg")) {
        EXPECT_EQ(decode_preprocessed(bytes, "x", p, options).pixels,
                  preprocess_image(turned, p).pixels)
            << turn;
      }
    }
    ++compared;
  }
  EXPECT_EQ(compared, 37U);
}

}  // namespace
}  // namespace saferclip
