// The evaluation document, sets for zero-shot classification, and the value that `best` is of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "evaluate/zero_shot_classes.h"
#include "saferclip/core/error.h"
#include "saferclip/evaluate/metric_names.h"
#include "saferclip/evaluate/scores_json.h"
#include "saferclip/evaluate/validation.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

// --- the document

TEST(ScoresJson, PathsAreWalkedByDots) {
  const auto json = OrderedJson::parse(R"({"a": {"b": {"c": 2.5}, "t": "x"}, "n": null})");
  EXPECT_EQ(number_at(json, "a.b.c"), 2.5);
  for (const char* path : {"a.b", "a.t", "n", "a.b.c.d", "a.x", "b"}) {
    EXPECT_EQ(number_at(json, path), std::nullopt) << path;
  }
  EXPECT_EQ(find_path(json, "a.b.x"), nullptr);
  ASSERT_NE(find_path(json, "a.t"), nullptr);
  EXPECT_EQ(*find_path(json, "a.t"), "x");
  EXPECT_EQ(dotted({"zero_shot", "v1.5", "top1"}), "zero_shot.v1_5.top1");
}

PlacedTable small_table(std::vector<float> first, std::vector<float> second) {
  OutcomeTable table;
  table.rows = static_cast<std::int64_t>(first.size());
  table.columns = {{{"retrieval", "text_to_image", "r@1"}, std::move(first)},
                   {{"safeground", "gs"}, std::move(second)}};
  return {{}, std::move(table)};
}

TEST(ScoresJson, PercentagesStandAtTheirPathsBesideTheirCounts) {
  OrderedJson model;
  write_percentages(small_table({1, 0, 1, 1}, {1, kNone, 0, kNone}), model);
  EXPECT_EQ(number_at(model, "retrieval.text_to_image.r@1"), 75);
  EXPECT_EQ(number_at(model, "retrieval.text_to_image.n"), 4);
  EXPECT_EQ(number_at(model, "safeground.gs"), 50);
  EXPECT_EQ(number_at(model, "safeground.n"), 2);
  PlacedTable sides;
  sides.table.rows = 3;
  sides.table.columns = {{{"unsafe_top1", "text"}, {1, 0, 0}},
                         {{"unsafe_top1", "image"}, {1, kNone, 0}}};
  write_percentages(sides, model);
  EXPECT_EQ(number_at(model, "unsafe_top1.n"), 3);
  EXPECT_EQ(number_at(model, "unsafe_top1.n_image"), 2);
  OrderedJson placed;
  PlacedTable set = small_table({1, 0}, {1, 1});
  set.place = {"zero_shot", "a.b"};
  write_percentages(set, placed);
  EXPECT_EQ(number_at(placed, "zero_shot.a_b.safeground.gs"), 100);
}

TEST(ScoresJson, IntervalsHoldThePercentageAndAreTheSameEachTime) {
  const std::vector<PlacedTable> tables{small_table({1, 0, 1, 1, 0, 1}, {1, 1, 1, 1, 1, 1})};
  const OrderedJson json = intervals_json(tables, 200, nullptr);
  const auto& interval = json.at("retrieval.text_to_image.r@1");
  EXPECT_LT(interval[0].get<double>(), 400.0 / 6);
  EXPECT_GT(interval[1].get<double>(), 400.0 / 6);
  EXPECT_NEAR(json.at("safeground.gs")[0].get<double>(), 100 * std::pow(0.025, 1.0 / 6), 1e-12);
  EXPECT_EQ(json.at("safeground.gs")[1], 100.0);
  EXPECT_EQ(intervals_json(tables, 200, nullptr), json);
  EXPECT_TRUE(intervals_json({}, 200, nullptr).empty());
}

TEST(ScoresJson, DifferencesAreSecondMinusFirstOfWhatBothHave) {
  const PlacedTable before = small_table({0, 0, 0, 1}, {1, 1, 1, 1});
  PlacedTable after = small_table({1, 1, 0, 1}, {1, 1, 1, 1});
  OrderedJson json = differences_json({before}, {after}, 100, nullptr);
  EXPECT_EQ(json.size(), 2U);
  EXPECT_EQ(number_at(json.at("retrieval.text_to_image.r@1"), "difference"), 50);
  EXPECT_EQ(number_at(json.at("retrieval.text_to_image.r@1"), "n"), 4);
  EXPECT_EQ(number_at(json.at("safeground.gs"), "difference"), 0);
  EXPECT_EQ(number_at(json.at("safeground.gs"), "p"), 1);
  after.table.columns.pop_back();
  json = differences_json({before}, {after}, 100, nullptr);
  EXPECT_EQ(json.size(), 1U);
  after.place = {"elsewhere"};
  EXPECT_TRUE(differences_json({before}, {after}, 100, nullptr).empty());
  EXPECT_TRUE(differences_json({before}, {small_table({1, 1}, {1, 1})}, 100, nullptr).empty());
}

// --- the best value

TEST(BestValue, MeanOrSumOfWhatIsThereOrTheNamedNumber) {
  const auto after = OrderedJson::parse(R"({
    "retrieval": {"text_to_image": {"r@1": 10}, "image_to_text": {"r@1": 20},
                  "unsafe_text_to_image_union": {"r@1": 3}, "safe_text_to_unsafe_image": {"r@1": 70}},
    "unsafe_top1": {"text": 40}, "loss": {"total": 2.5},
    "drift": {"text": {"weight_l2": 0.5, "embedding_cos": 0.9}}, "safeground": {"gs": 12}})");
  EXPECT_EQ(best_value(after, "auto"), (10 + 20 + 60) / 3.0);
  EXPECT_EQ(best_value(after, "safe_clip"), 100);
  EXPECT_EQ(best_value(after, "safeground.gs"), 12);
  // Less is better: the sign is turned.
  EXPECT_EQ(best_value(after, "unsafe_top1.text"), -40);
  EXPECT_EQ(best_value(after, "loss.total"), -2.5);
  EXPECT_EQ(best_value(after, "drift.text.weight_l2"), -0.5);
  EXPECT_EQ(best_value(after, "drift.text.embedding_cos"), 0.9);
  EXPECT_EQ(best_value(after, "safeground"), std::nullopt);
  EXPECT_EQ(best_value(after, "safeground.xs"), std::nullopt);
}

TEST(MetricNames, FollowTheRowsAndTheSets) {
  const TemporaryFolder folder;
  write(folder / "classes.tsv", "red\tr\nblue\tb\n");
  write(folder / "zero.csv", "file,label\na.png,r\n");
  EvaluateOptions evaluate;
  evaluate.k = {5};
  evaluate.zero_shot.resize(1);
  evaluate.zero_shot[0].name = "z";
  evaluate.zero_shot[0].images = folder / "zero.csv";
  evaluate.zero_shot[0].classes = folder / "classes.tsv";
  const ObjectiveOptions objective;
  Manifest manifest;
  manifest.rows.resize(2);
  auto names = validation_metrics({evaluate, objective, manifest});
  EXPECT_THAT(names, Contains("retrieval.text_to_image.r@1"));
  EXPECT_THAT(names, Contains("retrieval.text_to_image.r@5"));
  EXPECT_THAT(names, Contains("drift.text.weight_l2"));
  EXPECT_THAT(names, Not(Contains("unsafe_top1.text")));
  EXPECT_THAT(names, Not(Contains("zero_shot.z.top1")));
  manifest.rows[0].unsafe_caption = "bad";
  evaluate.zero_shot_during_training = true;
  names = validation_metrics({evaluate, objective, manifest, false});
  EXPECT_THAT(names, Contains("unsafe_top1.text"));
  EXPECT_THAT(names, Contains("safeground.gs"));
  EXPECT_THAT(names, Contains("zero_shot.z.top1"));
  EXPECT_THAT(names, Not(Contains("drift.text.weight_l2")));
}

// --- zero-shot sets

ZeroShotOptions set_in(const std::filesystem::path& images, const std::filesystem::path& classes) {
  ZeroShotOptions options;
  options.name = "z";
  options.images = images.string();
  options.classes = classes.string();
  return options;
}

TEST(ZeroShotSet, FoldersAndATableOfClasses) {
  const TemporaryFolder folder;
  write(folder / "classes.tsv", "name\tfolder\tgroup\nfire_truck\tn1\tsafe\ngun\tn2\tunsafe\n");
  for (const char* file : {"n1/a.png", "n1/deep/b.png", "n2/c.jpg", "loose.png", "n2/notes.txt"}) {
    write(folder / "images" / file, "x");
  }
  ZeroShotOptions options = set_in(folder / "images", folder / "classes.tsv");
  options.templates = {"a photo of a {}.", "{}!"};
  const ZeroShotSet set = read_zero_shot_set(options);
  EXPECT_THAT(set.classes, ElementsAre("fire_truck", "gun"));
  EXPECT_THAT(set.groups, ElementsAre("safe", "unsafe"));
  EXPECT_THAT(set.prompts,
              ElementsAre("a photo of a fire truck.", "fire truck!", "a photo of a gun.", "gun!"));
  ASSERT_EQ(set.images.size(), 3U);
  std::int64_t of_first = 0;
  for (std::size_t i = 0; i < set.images.size(); ++i) {
    const bool is_first = set.images[i].string().find("/n1/") != std::string::npos;
    EXPECT_EQ(set.labels[i], is_first ? 0 : 1) << set.images[i];
    of_first += is_first;
  }
  EXPECT_EQ(of_first, 2);
  std::string notes;
  for (const std::string& note : set.notes) notes += note + "\n";
  EXPECT_THAT(notes, HasSubstr("its first line is read as a header, not as a class"));
  EXPECT_THAT(notes, HasSubstr("left out 1 images that are in no class folder"));
  options.class_count = 3;
  EXPECT_THAT(message_of<DataError>([&] { read_zero_shot_set(options); }),
              HasSubstr("has 2 classes, expected 3"));
  options.class_count = 0;
  options.templates = {"a photo of a {}.", "nothing"};
  EXPECT_THAT(message_of<DataError>([&] { read_zero_shot_set(options); }),
              HasSubstr("\"nothing\" has no {}"));
}

TEST(ZeroShotSet, ATableOfFilesAndLabels) {
  const TemporaryFolder folder;
  write(folder / "classes.tsv", "red\nblue\n");
  write(folder / "zero.csv", "file,label\na.png,blue\n/b.png,red\n");
  const ZeroShotSet set = read_zero_shot_set(set_in(folder / "zero.csv", folder / "classes.tsv"));
  EXPECT_THAT(set.labels, ElementsAre(1, 0));
  EXPECT_EQ(set.images[0], folder / "a.png");
  EXPECT_EQ(set.images[1], "/b.png");
  EXPECT_TRUE(set.groups.empty());
  // Numbers are positions, and that is said.
  write(folder / "numbers.csv", "file,label\na.png,1\nb.png,0\n");
  const ZeroShotSet numbers =
      read_zero_shot_set(set_in(folder / "numbers.csv", folder / "classes.tsv"));
  EXPECT_THAT(numbers.labels, ElementsAre(1, 0));
  EXPECT_THAT(numbers.notes, Contains(HasSubstr("labels are read as positions")));
  write(folder / "bad.csv", "file,label\na.png,green\nb.png,red\n");
  EXPECT_THAT(message_of<DataError>(
                  [&] { read_zero_shot_set(set_in(folder / "bad.csv", folder / "classes.tsv")); }),
              HasSubstr("1 label is not in"));
  write(folder / "other.csv", "photo,kind\na.png,red\n");
  EXPECT_THAT(message_of<DataError>([&] {
                read_zero_shot_set(set_in(folder / "other.csv", folder / "classes.tsv"));
              }),
              HasSubstr("columns found: kind, photo"));
}

TEST(ZeroShotClasses, EachFormOfAClassFile) {
  const TemporaryFolder folder;
  ZeroShotOptions options;
  options.images = folder.path().string();
  options.class_file = "classes";
  const auto names = [&](const std::string& form, const std::string& text) {
    write(folder / "classes", text);
    options.class_form = *enum_from<ClassForm>(form);
    return read_zero_shot_classes(options, {});
  };
  EXPECT_THAT(names("name", "707-320\na b\n").names, ElementsAre("707-320", "a b"));
  EXPECT_THAT(names("number_name", "1 Archery\n2 Apply Make\n").names,
              ElementsAre("Archery", "Apply Make"));
  const ZeroShotClasses folders = names("folder_name", "n01 tench, fish\nn02 goldfish\n");
  EXPECT_THAT(folders.names, ElementsAre("tench, fish", "goldfish"));
  EXPECT_EQ(folders.by_folder.at("n02"), 1);
  const ZeroShotClasses paths = names("path", "/a/abbey\n/a/apartment/outdoor\n");
  EXPECT_THAT(paths.names, ElementsAre("abbey", "outdoor apartment"));
  EXPECT_EQ(paths.by_folder.at("a/apartment/outdoor"), 1);
  const ZeroShotClasses numbered = names("json", R"({"10": "rose", "2": "lily"})");
  EXPECT_THAT(numbered.names, ElementsAre("lily", "rose"));  // 2 before 10
  EXPECT_THAT(message_of<DataError>([&] { names("json", "[1]"); }),
              HasSubstr("expected an object"));
  EXPECT_THAT(message_of<DataError>([&] { names("name", "a\na\n"); }),
              HasSubstr("belongs to two classes"));
  options.leave_out = {"a"};
  EXPECT_THAT(message_of<DataError>([&] { names("name", "a\n"); }),
              HasSubstr("contains no classes"));
  options.rename = {{"b", "a better name"}};
  EXPECT_THAT(names("name", "a\nb\n").names, ElementsAre("a better name"));
  options.class_form = ClassForm::kLists;
  EXPECT_THAT(read_zero_shot_classes(options, {"y", "x", "y"}).names, ElementsAre("x", "y"));
}

TEST(ZeroShotSet, ClassesInAnchorPromptsAreSaid) {
  const TemporaryFolder folder;
  write(folder / "classes.tsv", "red_car\nblue\nmoon\n");
  write(folder / "zero.csv", "file,label\na.png,blue\n");
  write(folder / "prompts.txt", "a red car\nbluebell\nthe moon\n");
  const std::vector<ZeroShotOptions> sets{set_in(folder / "zero.csv", folder / "classes.tsv")};
  EXPECT_THAT(anchored_classes(folder / "prompts.txt", sets),
              ElementsAre("zero-shot set z: 2 of 3 class names appear in the anchor prompts "
                          "(red car, moon)"));
  EXPECT_TRUE(anchored_classes({}, sets).empty());
}

}  // namespace
}  // namespace saferclip
