// Image processors of transformers: what they become, and what is refused by its key.
#include "weights/preprocessor_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

WeightsSource of(const Json& json) {
  WeightsSource source;
  source.geometry.image_size = 32;
  source.preprocessing.image_size = 32;
  read_preprocessor_config(json, "f.json", source);
  return source;
}

Preprocessing read(const Json& json) { return of(json).preprocessing; }

std::string refusal(const Json& json) {
  try {
    of(json);
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(PreprocessorConfig, SizesAndCrops) {
  EXPECT_EQ(read(Json::object()).resize_mode, ResizeMode::kShortest);
  const Preprocessing wider = read({{"size", {{"shortest_edge", 36}}}, {"crop_size", 32}});
  EXPECT_EQ(wider.resize_to, 36);
  EXPECT_EQ(wider.image_size, 32);
  EXPECT_EQ(wider.resize_mode, ResizeMode::kShortest);
  EXPECT_EQ(read({{"size", 32}, {"crop_size", {{"height", 32}, {"width", 32}}}}).resize_to, 0);
  EXPECT_EQ(read({{"size", 32}, {"default_to_square", true}}).resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(read({{"size", Json::array({32, 32})}}).resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(read({{"do_resize", false}, {"crop_size", 32}}).resize_mode, ResizeMode::kNone);
  const Json siglip{{"image_processor_type", "SiglipImageProcessorFast"},
                    {"size", {{"height", 32}, {"width", 32}}},
                    {"do_center_crop", nullptr}};
  EXPECT_EQ(read(siglip).resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(read(siglip).resize_to, 0);
}

TEST(PreprocessorConfig, ValuesAndFilters) {
  const Preprocessing p = read(
      {{"rescale_factor", 0.5}, {"image_mean", 0.25}, {"resample", 5}, {"image_std", nullptr}});
  EXPECT_EQ(p.rescale, 0.5);
  EXPECT_EQ(p.mean[2], 0.25);
  EXPECT_EQ(p.interpolation, Interpolation::kHamming);
  EXPECT_EQ(p.std, Preprocessing{}.std);
  const Preprocessing raw = read({{"do_rescale", false}, {"do_normalize", false}});
  EXPECT_EQ(raw.rescale, 1);
  EXPECT_EQ(raw.mean[0], 0);
  EXPECT_EQ(raw.std[0], 1);
  // Each is part of what caches are kept by.
  EXPECT_NE(to_string(raw), to_string(read(Json::object())));
  Preprocessing near = p;
  near.mean[0] += 1e-12;
  EXPECT_NE(to_string(near), to_string(p));
}

TEST(PreprocessorConfig, RefusesByKey) {
  EXPECT_THAT(refusal({{"do_convert_rgb", false}}), HasSubstr("f.json: do_convert_rgb: false"));
  EXPECT_THAT(refusal({{"do_pad", true}}), HasSubstr("do_pad: true"));
  EXPECT_THAT(refusal({{"do_resize", "yes"}}), HasSubstr("do_resize: expected true or false"));
  EXPECT_THAT(refusal({{"do_center_crop", false}, {"size", {{"shortest_edge", 32}}}}),
              HasSubstr("do_center_crop: false"));
  EXPECT_THAT(refusal({{"do_center_crop", false}, {"do_resize", false}}), HasSubstr("do_resize"));
  EXPECT_THAT(refusal({{"size", {{"height", 32}, {"width", 40}}}}), HasSubstr("size: "));
  EXPECT_THAT(refusal({{"size", {{"longest_edge", 32}}}}), HasSubstr("longest_edge"));
  EXPECT_THAT(refusal({{"crop_size", {{"shortest_edge", 32}}}}), HasSubstr("crop_size"));
  EXPECT_THAT(refusal({{"crop_size", 40}, {"size", 48}}), HasSubstr("the model takes 32 px"));
  EXPECT_THAT(refusal({{"resample", 6}}), HasSubstr("resample 6"));
  EXPECT_THAT(refusal({{"image_std", 0}}), HasSubstr("image_std"));
  EXPECT_THAT(refusal({{"rescale_factor", "1/255"}}), HasSubstr("rescale_factor"));
  EXPECT_THAT(refusal({{"image_processor_type", "ViTImageProcessor"}}),
              HasSubstr("image_processor_type \"ViTImageProcessor\""));
}

// The nested processor comes first; a processor_config.json of older versions has none.
TEST(PreprocessorConfig, OfAFolder) {
  const TemporaryFolder folder;
  WeightsSource source;
  source.geometry.image_size = source.preprocessing.image_size = 32;
  const auto mean = [&] {
    source.notes.clear();
    source.preprocessing.mean = {0, 0, 0};
    read_folder_preprocessor(folder.path(), source);
    return source.preprocessing.mean[0];
  };
  EXPECT_EQ(mean(), 0);
  EXPECT_EQ(source.notes.size(), 1U);
  write_file_atomically(folder / "processor_config.json",
                        R"({"processor_class": "CLIPProcessor"})");
  write_file_atomically(folder / "preprocessor_config.json", R"({"image_mean": 0.25})");
  EXPECT_EQ(mean(), 0.25);
  write_file_atomically(folder / "processor_config.json",
                        R"({"image_processor": {"image_mean": 0.5}, "video_processor": {}})");
  EXPECT_EQ(mean(), 0.5);
  EXPECT_TRUE(source.notes.empty());
}

}  // namespace
}  // namespace saferclip
