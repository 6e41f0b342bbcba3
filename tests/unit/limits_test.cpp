// Each limit of docs/security.md that has no test beside its own reader's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/image/image.h"
#include "saferclip/io/config_tree.h"
#include "saferclip/io/text_rows.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

template <class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Limits, PixelsArePromisedBeforeTheyAreDecoded) {
  const Image image{4, 3, std::vector<std::uint8_t>(36)};
  const std::string png = encode_png(image);
  DecodeOptions options;
  options.max_pixels = 12;
  EXPECT_EQ(decode_image(png, "x", options).width, 4);
  options.max_pixels = 11;
  EXPECT_THAT(refusal([&] { decode_image(png, "x", options); }),
              HasSubstr("4 x 3 pixels exceed the limit of 11"));
}

TEST(Limits, APictureFileIsNotReadWhole) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.png", "x");
  std::filesystem::resize_file(folder / "a.png", kMaxPictureBytes + 1);
  EXPECT_THAT(refusal([&] { load_image(folder / "a.png"); }), HasSubstr("larger than 256.0 MiB"));
}

TEST(Limits, RecordsNestedDeepAreProblemsOfTheirLine) {
  const TemporaryFolder folder;
  const auto nested = [](int depth) {
    return R"({"a":)" + std::string(static_cast<std::size_t>(depth - 1), '[') +
           std::string(static_cast<std::size_t>(depth - 1), ']') + "}\n";
  };
  write_file_atomically(folder / "m.jsonl", nested(64) + nested(65));
  const auto rows = read_text_rows(folder / "m.jsonl");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].problem, "");
  EXPECT_EQ(rows[1].problem, "is nested too deeply");
}

TEST(Limits, AliasesOfAConfigurationDoNotExplode) {
  const TemporaryFolder folder;
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += before + (j < 9 ? ", " : "]\n");
  }
  write_file_atomically(folder / "c.yaml", text);
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::string> problems;
  read_config_tree(folder / "c.yaml", problems);
  EXPECT_THAT(problems, ::testing::Contains(HasSubstr("nested too deeply or too large")));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
}

}  // namespace
}  // namespace saferclip
