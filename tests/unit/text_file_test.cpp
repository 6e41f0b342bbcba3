// Text files as Notepad, Excel and others write them.
#include "saferclip/core/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/io/config_tree.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Units of `width` bytes of ASCII, with their mark.
std::string wide(const std::string& text, std::size_t width, bool is_big_endian, bool has_mark) {
  std::string bytes;
  const auto add = [&](std::uint32_t unit) {
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t place = is_big_endian ? width - 1 - i : i;
      bytes += static_cast<char>(unit >> (8 * place));
    }
  };
  if (has_mark) add(0xFEFF);
  for (const char letter : text) add(static_cast<unsigned char>(letter));
  return bytes;
}

class TextFiles : public ::testing::Test {
 protected:
  std::vector<std::string> lines(const std::string& bytes) {
    write_file_atomically(file_, bytes);
    return read_lines(file_);
  }
  std::string refusal(const std::string& bytes) {
    try {
      lines(bytes);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "list.txt";
};

TEST_F(TextFiles, EveryMarkAndLineEndIsRead) {
  const auto both = ElementsAre("a kettle", "a shelf");
  EXPECT_THAT(lines("a kettle\na shelf"), both);
  EXPECT_THAT(lines("\xEF\xBB\xBF"
                    "a kettle\r\na shelf\r\n"),
              both);
  EXPECT_THAT(lines("a kettle\ra shelf\r"), both);
  EXPECT_THAT(lines("a kettle\r\n\r\n  a shelf \t\r\n"), both);
  // Two files with a mark each, joined.
  EXPECT_THAT(lines("\xEF\xBB\xBF"
                    "a kettle\n\xEF\xBB\xBF"
                    "a shelf\n"),
              both);
  for (const bool is_big_endian : {false, true}) {
    for (const std::size_t width : {2U, 4U})
      EXPECT_THAT(lines(wide("a kettle\r\na shelf", width, is_big_endian, true)), both);
  }
  // é and an emoji, which UTF-16 writes as a pair.
  EXPECT_THAT(lines(std::string("\xFF\xFE\xE9\0\x3D\xD8\x00\xDE", 8)),
              ElementsAre("\xC3\xA9\xF0\x9F\x98\x80"));
  write_file_atomically(file_, "a\n\nb\n");
  EXPECT_THAT(read_all_lines(file_), ElementsAre("a", "", "b"));
}

TEST_F(TextFiles, OtherEncodingsAreRefusedWithLineAndCure) {
  const std::string latin = refusal("a\ncaf\xE9 au lait\n");
  EXPECT_THAT(latin, HasSubstr("list.txt:2: is not UTF-8"));
  EXPECT_THAT(latin, HasSubstr("0xE9"));
  EXPECT_THAT(latin, HasSubstr("Latin-1"));
  EXPECT_THAT(latin, HasSubstr("save it as UTF-8"));
  EXPECT_THAT(refusal(wide("a kettle\na shelf", 2, false, false)), HasSubstr("UTF-16 LE without"));
  EXPECT_THAT(refusal(wide("a kettle\na shelf", 2, true, false)), HasSubstr("UTF-16 BE without"));
  EXPECT_THAT(refusal(wide("a\nb", 2, false, true) + "x"),
              HasSubstr(":2: ends inside a character"));
  EXPECT_THAT(refusal(std::string("\xFF\xFE\n\0\x3D\xD8"
                                  "a\0",
                                  8)),
              HasSubstr(":2: contains an invalid code unit"));
  EXPECT_THAT(refusal("\n \r\n"), HasSubstr("contains no lines"));
}

TEST_F(TextFiles, WhatIsNoTextIsNamed) {
  EXPECT_THAT(refusal(std::string("PK\x03\x04\x14\0", 6)), HasSubstr("Excel workbook"));
  EXPECT_THAT(refusal("\x1F\x8B\x08"), HasSubstr("gunzip"));
  EXPECT_THAT(refusal(std::string("PAR1\x15\0", 6)), HasSubstr("Parquet"));
  EXPECT_THAT(lines("PK is a text\nPAR1 too"), ElementsAre("PK is a text", "PAR1 too"));
}

TEST_F(TextFiles, ConfigurationsAreReadTheSameWay) {
  for (const std::string name : {"c.yaml", "c.json"}) {
    const std::string text = "{\"run\": {\"name\": \"x\"}}\r\n";
    for (const std::string& bytes : {"\xEF\xBB\xBF" + text, wide(text, 2, false, true)}) {
      write_file_atomically(folder_ / name, bytes);
      std::vector<std::string> problems;
      const ConfigNode tree = read_config_tree(folder_ / name, problems);
      EXPECT_THAT(problems, ElementsAre());
      ASSERT_NE(tree.find("run"), nullptr);
      EXPECT_EQ(tree.find("run")->find("name")->scalar, "x");
    }
  }
}

}  // namespace
}  // namespace saferclip
