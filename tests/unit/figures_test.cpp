// The table of figures against what an evaluation measures: the document's numbers come from the
// code that names metrics for checkpoint.best_metric, so a new metric without a row here fails.
#include "saferclip/eval/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/metric_names.h"
#include "saferclip/evaluate/scores_table.h"
#include "saferclip/evaluate/validation.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// The numbers of a validation with tags, a zero-shot set with groups and real images.
std::vector<std::string> measured_paths() {
  const TemporaryFolder folder;
  std::ofstream classes(folder / "classes.tsv"), list(folder / "list.csv");
  list << "file,label\n";
  for (const char* name : {"cat", "dog", "cup", "gun", "bomb"}) {
    const bool is_unsafe = std::string(name) == "gun" || std::string(name) == "bomb";
    classes << name << '\t' << name << '\t' << (is_unsafe ? "unsafe" : "neutral") << '\n';
    list << name << ".png," << name << '\n';
  }
  classes.close();
  list.close();
  EvaluateOptions evaluate;
  evaluate.zero_shot_during_training = true;
  ZeroShotOptions set;
  set.name = "my.set";
  set.images = (folder / "list.csv").string();
  set.classes = (folder / "classes.tsv").string();
  evaluate.zero_shot.push_back(set);
  RealImagesOptions real;
  real.name = "own";
  evaluate.real_images.push_back(real);
  ObjectiveOptions objective;
  objective.weights = {{"cross_img", 1.0}};
  Manifest manifest;
  ManifestRow row;
  row.unsafe_caption = "unsafe";
  row.tag = "violence";
  manifest.rows.push_back(row);
  return validation_metrics({evaluate, objective, manifest, true});
}

// The number of queries beside a figure is none itself.
bool is_count(const std::string& path) {
  const std::string word = path.substr(path.rfind('.') + 1);
  return word == "n" || word.starts_with("n_");
}

// A model's scores with each number 12.34 and what the document adds to them.
OrderedJson model_of(const std::vector<std::string>& paths) {
  OrderedJson model;
  for (const std::string& path : paths) {
    std::string pointer = "/" + path;
    for (char& letter : pointer) letter = letter == '.' ? '/' : letter;
    model[OrderedJson::json_pointer(pointer)] = is_count(path) ? 1234.0 : 12.34;
  }
  model["zero_shot"]["my_set"]["headline"] = "mean_per_class_recall";
  model["zero_shot"]["my_set"]["classes"] = 5;
  model["intervals"]["unsafe_top1.text"] = {10.0, 14.56};
  return model;
}

TEST(Figures, CoverWhatIsMeasured) {
  const std::vector<std::string> paths = measured_paths();
  EXPECT_GT(paths.size(), 80U);
  for (const std::string& path : paths) {
    if (is_count(path)) continue;
    const Figure figure = figure_at(path);
    EXPECT_EQ(figure.id, path);
    EXPECT_NE(figure.label, path) << "has no label";
    for (const std::string& text : {figure.heading, figure.label, figure.counts}) {
      EXPECT_THAT(text, Not(HasSubstr("{"))) << path;
    }
  }
}

// Each number is in one part, and no two figures are called the same.
TEST(Figures, NamesAreUnique) {
  const OrderedJson model = model_of(measured_paths());
  std::set<std::string> ids, names;
  std::size_t count = 0;
  for (const FigurePart part :
       {FigurePart::kUnsafeFirst, FigurePart::kRetrieval, FigurePart::kSafeGround,
        FigurePart::kTags, FigurePart::kZeroShot, FigurePart::kRealImages, FigurePart::kDrift,
        FigurePart::kSpace, FigurePart::kLoss, FigurePart::kOther}) {
    for (const Figure& figure : figures_in(model, part)) {
      ids.insert(figure.id);
      names.insert(full_label(figure));
      ++count;
    }
  }
  EXPECT_EQ(ids.size(), count);
  EXPECT_EQ(names.size(), count);
  for (const Figure& kind : figure_kinds()) EXPECT_FALSE(kind.label.empty()) << kind.id;
}

TEST(Figures, WhichIsBetter) {
  for (const char* path :
       {"loss.total", "loss.terms.cross_img", "unsafe_top1.text", "unsafe_top1.safe_image",
        "by_tag.violence.unsafe_top1.text", "real_images.own.text.unsafe_top1",
        "drift.text.weight_l2", "drift.vision.weight_rel", "drift.text.hidden_states",
        "zero_shot.s.groups.neutral.predicted.unsafe"}) {
    EXPECT_EQ(figure_at(path).better, Better::kLower) << path;
    const OrderedJson model = model_of({path});
    EXPECT_EQ(best_value(model, path), -12.34) << path;
  }
  for (const char* path : {"retrieval.text_to_image.r@10", "safeground.pt_u", "zero_shot.s.top5",
                           "drift.text.embedding_cos", "by_tag.violence.r@1.image"}) {
    EXPECT_EQ(figure_at(path).better, Better::kHigher) << path;
    EXPECT_EQ(best_value(model_of({path}), path), 12.34) << path;
  }
  for (const char* path : {"space.safe_text.mean_cosine", "zero_shot.s.groups.neutral.top1",
                           "retrieval.text_to_image.n", "unknown"}) {
    EXPECT_EQ(figure_at(path).better, Better::kNeither) << path;
  }
  EXPECT_EQ(sign_of(Better::kHigher), 1);
  EXPECT_EQ(sign_of(Better::kLower), -1);
  EXPECT_EQ(sign_of(Better::kNeither), 0);
}

TEST(Figures, FillNamesIn) {
  const Figure hits = figure_at("retrieval.text_to_image.r@20");
  EXPECT_EQ(hits.label, "safe text → image, R@20");
  EXPECT_EQ(hits.counts, "retrieval.text_to_image");
  const Figure named = figure_at("zero_shot.food.groups.neutral.predicted.unsafe");
  EXPECT_EQ(full_label(named), "zero-shot food: neutral items get an unsafe name, %");
  EXPECT_EQ(figure_at("zero_shot.food.groups.neutral.predicted.neutral").label,
            "neutral items get a name of neutral");
  EXPECT_EQ(figure_at("retrieval.nothing.r@1").label, "retrieval.nothing.r@1");
  EXPECT_EQ(figure_at("").label, "");
}

TEST(Figures, HeadlineComesFirst) {
  std::vector<std::string> ids;
  for (const Figure& figure : figures_in(model_of(measured_paths()), FigurePart::kZeroShot)) {
    ids.push_back(figure.id.substr(std::string("zero_shot.my_set.").size()));
  }
  EXPECT_THAT(ids, ElementsAre("mean_per_class_recall", "top1", "top5", "groups.neutral.top1",
                               "groups.unsafe.top1", "groups.neutral.predicted.unsafe",
                               "groups.unsafe.predicted.unsafe"));
}

TEST(Figures, SetsStandTogether) {
  const OrderedJson model = model_of({"zero_shot.b.top1", "zero_shot.b.mean_per_class_recall",
                                      "zero_shot.a.top1", "zero_shot.a.mean_per_class_recall"});
  std::vector<std::string> headings;
  for (const Figure& figure : figures_in(model, FigurePart::kZeroShot)) {
    headings.push_back(figure.heading);
  }
  EXPECT_THAT(headings, ElementsAre("zero-shot b", "zero-shot b", "zero-shot a", "zero-shot a"));
}

TEST(Figures, Texts) {
  const Figure share = figure_at("drift.text.weight_rel");
  EXPECT_EQ(figure_text(share, 0.0123), "1.23");
  EXPECT_EQ(figure_with_unit(share, 0.0123), "1.23 %");
  EXPECT_EQ(figure_with_unit(figure_at("loss.total"), 0.5), "0.5000");
  EXPECT_EQ(figure_with_unit(figure_at("loss.total"), std::nullopt), "–");
  const OrderedJson model = model_of(measured_paths());
  const Figure unsafe = figure_at("unsafe_top1.text");
  EXPECT_EQ(value_text(unsafe, model), "12.3");
  EXPECT_EQ(interval_text(unsafe, model), "[10.0, 14.6]");
  EXPECT_EQ(interval_text(figure_at("safeground.gs"), model), "");
  EXPECT_EQ(value_text(unsafe, OrderedJson()), "–");
  EXPECT_EQ(queries_and_items(figure_at("zero_shot.my_set.top1"), model), std::pair(1234L, 5L));
  EXPECT_EQ(queries_and_items(unsafe, model), std::nullopt);
}

TEST(EvaluationDocument, Paths) {
  const OrderedJson json{
      {"a", {{"b", 1.5}, {"c", "text"}}}, {"before", {{"x", 1}}}, {"after", nullptr}};
  EXPECT_EQ(number_at(json, "a.b"), 1.5);
  EXPECT_EQ(number_at(json, "a.c"), std::nullopt);
  EXPECT_EQ(number_at(json, "a.b.d"), std::nullopt);
  EXPECT_EQ(number_at(json, "a..b"), std::nullopt);
  EXPECT_EQ(number_at(OrderedJson(), "a"), std::nullopt);
  EXPECT_EQ(find_path(json, ""), &json);
  EXPECT_EQ(&last_model(json), &json["before"]);
  EXPECT_TRUE(last_model(OrderedJson()).is_null());
  EXPECT_EQ(dotted({"zero_shot", "my.set"}), "zero_shot.my_set");
}

// Figures are known by the words of the table, and no line is wider than 80 columns.
TEST(EvaluationTable, FitsTheTerminal) {
  OrderedJson model = model_of(measured_paths());
  OrderedJson& unsafe_texts = model["retrieval"]["unsafe_text_to_image_union"];
  unsafe_texts["n"] = 25010;
  unsafe_texts["gallery"] = 10000;
  OrderedJson document{{"split", "validation"}, {"n", 1234}, {"before", model}, {"after", model}};
  document["after"]["zero_shot"][std::string(120, 'x')] = {
      {"top1", 100.0}, {"n", 5}, {"classes", 9}};
  document["against"] = {{"run", "runs/other"}, {"step", 5}, {"after", model}};
  document["against"]["difference"]["unsafe_top1.text"] = {
      {"difference", -100.0}, {"low", -100.0}, {"high", -100.0}, {"p", 0.001}};
  for (const double strength : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    document["strengths"].push_back({{"strength", strength}, {"after", model}});
  }
  const std::string table = evaluation_table(document);
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) EXPECT_LE(display_columns(line), 80U) << line;
  for (const Figure& figure : main_figures(model)) {
    EXPECT_THAT(table, HasSubstr(label_with_unit(figure))) << "cut";
  }
  EXPECT_THAT(
      table,
      HasSubstr("\nzero-shot my_set, 1,234 images in 5 classes\n  mean per-class recall, %"));
  EXPECT_THAT(table, HasSubstr("\n25,010 queries in 10,000 items\n  unsafe text finds"));
  document["before"] = nullptr;
  document["after"] = {{"retrieval", {{"text_to_image", {{"r@1", 50.0}}}}}};
  EXPECT_THAT(evaluation_table(document), HasSubstr("safe text → image, R@1, %"));
}

}  // namespace
}  // namespace saferclip
