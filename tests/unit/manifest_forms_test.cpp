// Lists of rows as people write them: separators, encodings, JSON of every shape, ids, splits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/data/manifest.h"
#include "saferclip/data/manifest_columns.h"
#include "saferclip/io/text_rows.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Forms : public ::testing::Test {
 protected:
  Forms() { write_file_atomically(folder_ / "a.jpg", "x"); }
  Manifest read(const std::string& text, const std::string& split = "train") {
    write_file_atomically(folder_ / "m.txt", text);
    ManifestRequest request;
    request.file = folder_ / "m.txt";
    request.split = split;
    return read_manifest(request);
  }
  std::string refusal(const std::string& text, const std::string& split = "train") {
    try {
      read(text, split);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }
  static std::vector<std::string> ids(const Manifest& manifest) {
    std::vector<std::string> ids;
    for (const ManifestRow& row : manifest.rows) ids.push_back(row.id);
    return ids;
  }
  static std::string problems(const Manifest& manifest) {
    std::string text;
    for (const RowProblem& p : manifest.problems) {
      text += std::to_string(p.line) + "/" + std::to_string(p.row()) + " " + p.kind + ": " +
              p.message + "\n";
    }
    return text;
  }
  TemporaryFolder folder_;
};

TEST_F(Forms, WhatPandasWritesIntoCells) {
  const Manifest found = read(
      "id,safe_caption,safe_image,unsafe_caption\n"
      "42.0,\"[\"\"a\"\", \"\"b\"\"]\",a.jpg,\"[\"\"u\"\", \"\"v\"\"]\"\n"
      "0.5,[a],a.jpg,[1]\n7.00,\"[\"\"a\"\", 1]\",a.jpg,[]\n");
  EXPECT_THAT(ids(found), ElementsAre("42#0", "42#1", "0.5", "7.00"));
  EXPECT_EQ(found.rows[1].safe_caption, "b");
  EXPECT_EQ(found.rows[1].unsafe_caption, "v");
  EXPECT_EQ(found.rows[2].safe_caption, "[a]");
  EXPECT_EQ(found.rows[2].unsafe_caption, "[1]");
  EXPECT_EQ(found.rows[3].safe_caption, "[\"a\", 1]");
  EXPECT_EQ(found.rows[3].unsafe_caption, "[]");
  EXPECT_THAT(
      problems(read("id,safe_caption,safe_image,unsafe_caption\n1,a,a.jpg,u\n"
                    "2,\"[\"\"a\"\", \"\" \"\"]\",a.jpg,u\n1.0,a,a.jpg,u\n")),
      AllOf(HasSubstr("3/3 empty caption"), HasSubstr("4/4 duplicate id: id 1 is already")));
  // In JSON a text is a text.
  const std::string json =
      R"({"id": "42.0", "safe_caption": "[\"a\"]", "safe_image": "a.jpg", "unsafe_caption": "u"})";
  EXPECT_THAT(ids(read(json)), ElementsAre("42.0"));
  EXPECT_EQ(read(json).rows[0].safe_caption, "[\"a\"]");
}

TEST_F(Forms, ATemplateThatFitsNothingNamesThePathItTried) {
  ManifestRequest request;
  request.file = folder_ / "m.csv";
  request.unsafe_image_template = "{image_root}/unsafe/{id}.jpg";
  write_file_atomically(request.file,
                        "id,safe_caption,safe_image,unsafe_caption\n42.0,a,a.jpg,u\n7,a,a.jpg,u\n");
  const std::string tried = (folder_ / "unsafe" / "42.jpg").string();
  const auto notes = [&] { return ::testing::PrintToString(read_manifest(request).notes); };
  EXPECT_THAT(notes(),
              HasSubstr("unsafe_image_template fits no file in 2 rows; the first tried: " + tried));
  request.missing_unsafe_image = MissingUnsafeImage::kError;
  EXPECT_THAT(problems(read_manifest(request)), HasSubstr("no such file: " + tried));
  request.missing_unsafe_image = MissingUnsafeImage::kSkip;
  try {
    read_manifest(request);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no rows are left"), HasSubstr(tried)));
  }
  std::filesystem::create_directories(folder_ / "unsafe");
  write_file_atomically(tried, "x");
  request.missing_unsafe_image = MissingUnsafeImage::kTextOnly;
  EXPECT_THAT(notes(), ::testing::Not(HasSubstr("template")));
  EXPECT_EQ(read_manifest(request).rows[0].unsafe_image.name(), tried);
}

// `id` and `more` as JSON.
std::string record(const std::string& id, const std::string& more = "") {
  return R"({"id": )" + id +
         R"(, "safe_caption": "s", "safe_image": "a.jpg", "unsafe_caption": "u")" + more + "}";
}

TEST_F(Forms, SeparatorsAreFoundOrNamed) {
  for (const std::string separator : {",", ";", "\t", "|"}) {
    std::string text;
    for (const char* line : {"id safe_caption safe_image unsafe_caption", "1 s a.jpg u"}) {
      std::string row = line;
      for (char& c : row) c = c == ' ' ? separator[0] : c;
      text += row + "\r\n";
    }
    EXPECT_THAT(ids(read(text)), ElementsAre("1")) << separator;
    EXPECT_THAT(ids(read("sep=" + separator + "\r\n" + text)), ElementsAre("1")) << separator;
    // What Excel writes behind the last row.
    EXPECT_THAT(ids(read(text + separator + separator + separator + "\r\n")), ElementsAre("1"));
  }
  const Manifest quoted = read(
      "id;safe_caption;safe_image;unsafe_caption\n1;\"a; b\nc \"\"d\"\"\";a.jpg;u\n2;s;a.jpg;u\n");
  ASSERT_EQ(quoted.rows.size(), 2U);
  EXPECT_EQ(quoted.rows[0].safe_caption, "a; b\nc \"d\"");
  EXPECT_EQ(quoted.rows[1].line, 4);
  EXPECT_THAT(refusal("id:safe_caption:safe_image\n1:s:a.jpg\n"), HasSubstr("semicolon"));
  EXPECT_THAT(refusal("# mine\n"), HasSubstr("comments are not supported"));
  EXPECT_THAT(refusal("id,safe_caption,safe_image,unsafe_caption\n1,\"s,a.jpg,u\n2,s,a.jpg,u\n"),
              HasSubstr("m.txt:2: a quote is opened but never closed"));
}

TEST_F(Forms, ColumnsOfOtherNamesAreOneError) {
  std::string csv = "number,text,picture,bad_text\n", lines;
  for (int i = 0; i < 30; ++i) {
    csv += std::to_string(i) + ",s,a.jpg,u\n";
    lines += R"({"number": 1, "text": "s", "picture": "a.jpg", "bad_text": "u"})"
             "\n";
  }
  for (const std::string& text : {csv, lines}) {
    const std::string said = refusal(text);
    for (const char* name : {"number", "text", "picture", "bad_text", "safe_caption", "safe_image",
                             "unsafe_caption"}) {
      EXPECT_THAT(said, HasSubstr(name));
    }
    EXPECT_LT(std::count(said.begin(), said.end(), '\n'), 6);
  }
  EXPECT_THAT(refusal("id,Safe Caption,safe_image,unsafe_caption\n1,s,a.jpg,u\n"),
              HasSubstr("did you mean safe_caption?"));
  // Not needed, but likely meant.
  EXPECT_THAT(read("id,safe_caption,safe_image,unsafe_caption,Split\n1,s,a.jpg,u,test\n").notes,
              ElementsAre(HasSubstr("\"Split\" is ignored; did you mean split?")));
}

TEST_F(Forms, NamesOfOpenClipAndImg2Dataset) {
  for (const char* header : {"filepath,title", "image_path,description", "filename,caption",
                             "image,text", "path,title", "file,safe"}) {
    const Manifest found = read(std::string(header) + ",nsfw\na.jpg,s,u\n");
    ASSERT_EQ(found.rows.size(), 1U) << header;
    EXPECT_EQ(found.rows[0].safe_caption, "s");
    EXPECT_EQ(found.rows[0].safe_image.name(), (folder_ / "a.jpg").string());
  }
}

TEST_F(Forms, LabelsAreNoCaptions) {
  const auto rows = [](const std::string& header, const std::vector<std::string>& values) {
    std::string text = "safe_caption,safe_image," + header + "\n";
    for (const std::string& value : values) text += "s,a.jpg," + value + "\n";
    return text;
  };
  EXPECT_THAT(
      refusal(rows("NSFW", {"UNLIKELY", "NSFW"})),
      ::testing::AllOf(HasSubstr("column \"NSFW\" says which rows are safe (nsfw, unlikely)"),
                       ::testing::Not(HasSubstr("did you mean"))));
  EXPECT_THAT(refusal(rows("NSFW", {"a cat with a gun", "a bottle"})),
              HasSubstr("\"NSFW\" is ignored; did you mean nsfw?"));
  // Other labels, and labels beside unsafe captions, say nothing.
  EXPECT_THAT(refusal(rows("label", {"cat", "dog"})), ::testing::Not(HasSubstr("labeled")));
  EXPECT_THAT(read(rows("unsafe_caption,label", {"a gun,1", "a bottle,1"})).notes,
              ::testing::IsEmpty());
  // One-word captions are captions, unless a few of them cover many rows.
  EXPECT_THAT(read(rows("nsfw", {"gun", "bottle"})).notes, ::testing::IsEmpty());
  EXPECT_THAT(read(rows("nsfw", {"0", "1", "1"})).notes,
              ElementsAre(HasSubstr("a few words (0, 1): these look like labels")));
  EXPECT_THAT(read("{\"safe_caption\": \"s\", \"safe_image\": \"a.jpg\", \"nsfw\": 0}\n").notes,
              ElementsAre(HasSubstr("a few words (0): these look like labels")));
  std::vector<std::string> many(19, "gun");
  EXPECT_THAT(read(rows("nsfw", many)).notes, ::testing::IsEmpty());
  many.emplace_back("bottle");
  EXPECT_THAT(read(rows("nsfw", many)).notes, ElementsAre(HasSubstr("look like labels")));
  many.insert(many.end(), 2, "a man with a gun");
  EXPECT_THAT(read(rows("nsfw", many)).notes, ::testing::IsEmpty());  // 9 %
}

TEST_F(Forms, AFieldTooManyNamesTheQuotes) {
  EXPECT_THAT(problems(read("safe_caption,safe_image,nsfw\ns,a.jpg,u\ns, t,a.jpg,u\ns,a.jpg\n")),
              ::testing::AllOf(HasSubstr("3/3 unreadable row: has 4 fields, but the header has 3; "
                                         "put a field that contains \",\" into quotes"),
                               HasSubstr("4/4 unreadable row: has 2 fields, but the header has 3; "
                                         "an empty field keeps its separator")));
}

TEST_F(Forms, WhatStandsTwiceIsRefused) {
  EXPECT_THAT(refusal("id,safe_caption,safe_image,unsafe_caption, safe_caption\n1,s,a.jpg,u,n\n"),
              AllOf(HasSubstr("m.txt:1:"), HasSubstr("\"safe_caption\" (columns 2 and 5)")));
  const Manifest twice = read(record("1", R"(, "safe_caption": "z")") + "\n" + record("2") + "\n");
  EXPECT_THAT(ids(twice), ElementsAre("2"));
  EXPECT_THAT(problems(twice), HasSubstr("1/1 unreadable row: \"safe_caption\" appears twice"));
  EXPECT_THAT(refusal("{\"0\": " + record("1") + ",\n\"0\": " + record("2") + "}"),
              HasSubstr("m.txt:2: \"0\" already appears on line 1"));
  // Two names of one field: refused where they differ.
  const Manifest named =
      read(record("1", R"(, "caption": "z")") + "\n" +
           record("2", R"(, "caption": "s", "tag": null, "chosen_category": "c")"));
  EXPECT_THAT(ids(named), ElementsAre("2"));
  EXPECT_THAT(problems(named), HasSubstr("safe_caption is \"s\", caption is \"z\"; keep only one"));
}

TEST_F(Forms, JsonOfAnyShapeSaysTheLine) {
  const std::string nan = record("2", ",\n\"tag\": NaN");
  const std::string good = record("1") + ",\n", end = ",\n" + record("3");
  for (const std::string& text :
       {"[\n" + good + nan + end + "\n]",
        "{\"a\":\n" + good + "\"b\": " + nan + ",\n\"c\":" + record("3") + "}",
        "{\"info\": {}, \"data\": {\"0\":\n" + good + "\"1\": " + nan + ",\n\"2\":" + record("3") +
            "}}",
        record("1") + "\n\n" + nan + "\n" + record("3")}) {
    const Manifest m = read(text);
    EXPECT_THAT(ids(m), ElementsAre("1", "3")) << text;
    EXPECT_THAT(problems(m), HasSubstr("unreadable row: NaN is not JSON; write null")) << text;
    EXPECT_EQ(m.problems[0].line, 4) << text;
  }
  // Without line ends the number of the record tells rows apart.
  const Manifest flat = read("[" + record("1") + "," + record("2", ", \"tag\": -Infinity") + "," +
                             record("3", ", \"tag\": None") + "]");
  EXPECT_THAT(ids(flat), ElementsAre("1"));
  EXPECT_THAT(problems(flat), AllOf(HasSubstr("1/2 unreadable row: -Infinity"),
                                    HasSubstr("1/3 unreadable row: None")));
  EXPECT_THAT(problems(read("[" + record("1") + ",\n" + record("2", R"(, "tag": "\ud83d")") + "]")),
              HasSubstr("2/2 unreadable row: half of a surrogate pair"));
  EXPECT_THAT(problems(read("[\n{\"id\": 1,\n},\n" + record("2") + "]")),
              HasSubstr("3/1 unreadable row: a trailing comma before }"));
  EXPECT_THAT(refusal("[\n" + record("1") + ",\n]"),
              HasSubstr("m.txt:2: a trailing comma before ]"));
  EXPECT_THAT(refusal("[\n" + record("1") + ",\n{\"id\": 2,"),
              HasSubstr("m.txt:3: the file ends inside an object that begins on line 3"));
  EXPECT_THAT(refusal(record("1") + ",\n" + record("2") + ",\n"),
              HasSubstr("comma between records"));
  EXPECT_THAT(refusal("[\n// mine\n" + record("1") + "]"),
              HasSubstr("m.txt:2: comments are not JSON"));
  EXPECT_THAT(problems(read("{'id': 1}\n" + record("2"))), HasSubstr("single quotes are not JSON"));
  EXPECT_THAT(ids(read(record("1") + record("2"))), ElementsAre("1", "2"));
}

TEST_F(Forms, IdsAreTextAsAUserExpects) {
  const Manifest m =
      read(record("42.0") + "\n" + record("18446744073709551617") + "\n" +
           record("18446744073709551618") + "\n" + record("null") + "\n" + record("\" \"") + "\n" +
           record("4.5") + "\n" + record("-7") + "\n" + record("9223372036854775808") + "\n" +
           record("true") + "\n" + record("[1]") + "\n" + record("42") + "\n");
  EXPECT_THAT(ids(m), ElementsAre("42", "18446744073709551617", "18446744073709551618", "4", "5",
                                  "4.5", "-7", "9223372036854775808"));
  EXPECT_THAT(problems(m), AllOf(HasSubstr("9/9 id is not text: id is true"),
                                 HasSubstr("10/10 id is not text: id is [1]"),
                                 HasSubstr("11/11 duplicate id: id 42 is already used on line 1")));
}

TEST_F(Forms, LabelsOfTheUnsafeHalf) {
  const auto labels = [](const Manifest& manifest) {
    std::string text;
    for (const ManifestRow& row : manifest.rows) {
      text += row.unsafe_caption_label ? '1' : '0';
      text += row.unsafe_image_label ? "1 " : "0 ";
    }
    return text;
  };
  const std::string rest = R"("safe_image": "a.jpg", "unsafe_caption": "u")";
  const Manifest json =
      read(R"([{"safe_caption": ["a", "b"], "unsafe_image_label": 0, )" + rest +
           R"(}, {"safe_caption": "c", "unsafe_caption_label": 0.0, "unsafe_image_label": null, )" +
           rest + R"(}, {"safe_caption": "d", "unsafe_caption_label": 1, )" + rest + "}]");
  EXPECT_EQ(labels(json), "10 10 01 11 ");
  EXPECT_TRUE(json.has_labels);
  EXPECT_THAT(json.notes, ElementsAre());
  const Manifest table = read(
      "safe_caption,safe_image,unsafe_caption,unsafe_caption_label,unsafe_image_label\n"
      "a,a.jpg,u,1,0\nb,a.jpg,u,0.0,1.0\nc,a.jpg,u,,\n");
  EXPECT_EQ(labels(table), "10 01 11 ");
  EXPECT_TRUE(unread_columns(folder_ / "m.txt").empty());
  EXPECT_FALSE(read("safe_caption,safe_image,unsafe_caption\na,a.jpg,u\n").has_labels);
  std::string dirt;
  for (const char* label : {"2", "-1", "true", "[1]", "\"\"", "\"yes\"", "0.5"}) {
    dirt += R"({"safe_caption": "a", "unsafe_image_label": )" + std::string(label) + ", " + rest +
            "}\n";
  }
  const Manifest bad = read(dirt);
  EXPECT_TRUE(bad.rows.empty());
  EXPECT_EQ(bad.problems.size(), 7U);
  EXPECT_THAT(problems(bad), AllOf(HasSubstr("1/1 label is not 0 or 1: unsafe_image_label is 2, "
                                             "expected 0 or 1\n"),
                                   HasSubstr("4/4 label is not 0 or 1: unsafe_image_label is [1]"),
                                   HasSubstr("7/7 label is not 0 or 1")));
}

TEST_F(Forms, CocoIdsOfTablesOfNumbersAreWhole) {
  std::filesystem::create_directories(folder_ / "val2017");
  write_file_atomically(folder_ / "val2017" / "000000000042.jpg", "x");
  const Manifest lines = read(R"({"coco_id": 42.0, "safe": "s", "nsfw": "u"})");
  const Manifest table = read("coco_id,safe,nsfw\n42.0,s,u\n");
  for (const Manifest& m : {lines, table}) {
    ASSERT_EQ(m.rows.size(), 1U) << problems(m);
    EXPECT_EQ(m.rows[0].safe_image.file.filename(), "000000000042.jpg");
  }
}

TEST_F(Forms, RowsOfOtherSplitsAreCountedAndNamed) {
  std::string text;
  int id = 0;
  for (const char* split :
       {"\"Train\"", "\" train \"", "\"train\"", "\"test\"", "\"test\"", "\"val\"", "null", "3"}) {
    text += record(std::to_string(++id), std::string(", \"split\": ") + split) + "\n";
  }
  const Manifest m = read(text);
  EXPECT_THAT(ids(m), ElementsAre("1", "2", "3", "7"));
  EXPECT_EQ(m.rows_read, 4);
  EXPECT_THAT(
      m.left_out,
      ElementsAre(HasSubstr("4 of 8 rows belong to other splits: test (2), 3 (1), val (1)")));
  EXPECT_THAT(m.notes, ::testing::Contains(HasSubstr("\"Train\" read as \"train\" in 1 rows")));
  EXPECT_THAT(m.notes, ::testing::Contains(HasSubstr("1 rows have no split")));
  EXPECT_THAT(ids(read(text, "validation")), ElementsAre("6", "7"));
  const std::string said = refusal(record("1", R"(, "split": "test")"), "nsfwcaps");
  EXPECT_THAT(said, AllOf(HasSubstr("no rows of split \"nsfwcaps\""), HasSubstr("test (1)"),
                          HasSubstr("data.evaluation")));
}

TEST_F(Forms, FilesWithoutRowsSayWhatTheyAre) {
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(refusal("\n \n"), HasSubstr("only blank lines"));
  EXPECT_THAT(refusal("id,safe_caption,safe_image,unsafe_caption\n"),
              HasSubstr("a header but no rows"));
  EXPECT_THAT(refusal("[]"), HasSubstr("contains no rows"));
  EXPECT_THAT(refusal("{}"), HasSubstr("contains no rows"));
}

}  // namespace
}  // namespace saferclip
