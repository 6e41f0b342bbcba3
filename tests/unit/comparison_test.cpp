// Tables of runs side by side: their width, their marks, and the notes that explain them.
#include "saferclip/report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A run with two shares, of which more is better for one and less for the other.
ComparedRun run_of(const std::string& name, double unsafe, double recall,
                   const std::string& setup = "") {
  ComparedRun run;
  run.name = name;
  run.given = "runs/" + name;
  run.setup = setup.empty() ? name : setup;
  run.config = {{"objective.name", "saferclip"}};
  const auto model = [](double text, double found) {
    return OrderedJson{{"unsafe_top1", {{"text", text}}},
                       {"retrieval", {{"text_to_image", {{"r@1", found}}}}}};
  };
  run.document = {{"split", "test"},   {"n", 40},
                  {"weights", "w"},    {"before", model(99.8, 90)},
                  {"content", "rows"}, {"after", model(unsafe, recall)}};
  return run;
}

OrderedJson difference(double low, double high) { return {{"low", low}, {"high", high}}; }

Comparison compared(std::vector<ComparedRun> runs) {
  return compare_figures(std::move(runs), Seeds::kGrouped, {}, nullptr);
}

std::string line_of(const std::string& table, const std::string& label) {
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) {
    if (line.find(label) != std::string::npos) return line;
  }
  return "";
}

constexpr const char* kUnsafe = "unsafe text finds an unsafe image first";
constexpr const char* kRecall = "safe text → image, R@1";

TEST(ComparisonTable, SaysWhichWayIsBetter) {
  const Comparison c = compared({run_of("a", 10, 80), run_of("b", 0, 85)});
  const std::string table = comparison_table(c);
  EXPECT_THAT(line_of(table, kUnsafe), HasSubstr(" ↓ "));
  EXPECT_THAT(line_of(table, kRecall), HasSubstr("↑"));
  EXPECT_THAT(table, HasSubstr("\n↑ higher, ↓ lower is better\n"));
  EXPECT_THAT(comparison_markdown(c), HasSubstr("| safe text → image, R@1, % ↑ |"));
  EXPECT_THAT(comparison_latex(c), HasSubstr("image first, \\% $\\downarrow$ & 99.8"));
  EXPECT_THAT(comparison_page(c), HasSubstr("safe text → image, R@1, % ↑</th>"));
}

TEST(ComparisonTable, ExplainsTheMarksThatOccurAlone) {
  ComparedRun second = run_of("b", 0, 80);
  second.against_first = {{"unsafe_top1.text", difference(-12, -8)},
                          {"retrieval.text_to_image.r@1", difference(-1, 1)}};
  const std::string table = comparison_table(compared({run_of("a", 10, 80), second}));
  EXPECT_THAT(line_of(table, kUnsafe), HasSubstr("0.0 †*"));
  EXPECT_THAT(table, HasSubstr("\n† better than a: "));
  EXPECT_THAT(table, Not(HasSubstr("‡")));
  EXPECT_THAT(table, HasSubstr("\n* best of the runs, before not among them\n"));
  EXPECT_THAT(table, Not(HasSubstr("±")));
}

TEST(ComparisonTable, NoBestWhereIntervalsOverSeedsTouch) {
  const Comparison c =
      compared({run_of("a1", 40, 50, "a"), run_of("a2", 42, 52, "a"), run_of("b", 70, 53)});
  ASSERT_EQ(c.columns.size(), 3U);
  for (const ComparedFigure& row : c.figures) {
    const bool is_recall = row.figure.id == "retrieval.text_to_image.r@1";  // 53 is within
    EXPECT_EQ(row.is_open, is_recall) << row.figure.id;
    EXPECT_EQ(row.cells[1].is_best, !is_recall) << row.figure.id;
  }
  EXPECT_THAT(comparison_table(c), HasSubstr("no best of 1 figure: "));
}

TEST(ComparisonTable, PercentagesEndAtTheirBounds) {
  const Comparison c = compared({run_of("a1", 2, 98, "a"), run_of("a2", 0, 97, "a")});
  const std::string table = comparison_table(c);  // 1 ± 12.7 and 97.5 ± 6.4
  EXPECT_THAT(line_of(table, kUnsafe), HasSubstr("1.0 0.0–13.7"));
  EXPECT_THAT(line_of(table, kRecall), HasSubstr("97.5 91.1–100.0"));
  EXPECT_THAT(table, HasSubstr("\na–b: that interval where ± would leave 0 … 100 %\n"));
  EXPECT_THAT(comparison_markdown(c), HasSubstr("97.5 [91.1, 100.0]"));
}

TEST(ComparisonTable, FitsTheTerminalAndKeepsNamesReadable) {
  std::vector<ComparedRun> runs;
  for (const char* name : {"lr=0.001,seed=1", "lr=0.001,seed=2"}) {
    runs.push_back(run_of(name, 40 + static_cast<double>(runs.size()), 50, "group"));
  }
  for (int i = 0; i < 5; ++i) runs.push_back(run_of(cat("saferclip_with_long_name_", i), 9, 9));
  const std::string table = comparison_table(compared(std::move(runs)));
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) EXPECT_LE(display_columns(line), 80U) << line;
  EXPECT_THAT(table, HasSubstr("(2 seeds)"));
}

TEST(ComparisonPage, LossesOfOtherObjectivesAreDrawnApart) {
  std::vector<ComparedRun> runs{run_of("one", 1, 1), run_of("two", 2, 2), run_of("three", 3, 3)};
  for (ComparedRun& run : runs) run.metrics = R"({"kind":"train","step":1,"loss":2,"lr":0.1})";
  const std::string same = comparison_page(compared(runs));
  EXPECT_THAT(same, HasSubstr("<figcaption>Training loss</figcaption>"));
  EXPECT_THAT(same, HasSubstr(">three</text>"));  // names, no numbers
  EXPECT_THAT(same, Not(HasSubstr("cannot be compared")));
  runs.back().config = {{"objective.name", "clip"}};
  const std::string apart = comparison_page(compared(runs));
  EXPECT_THAT(apart, HasSubstr("<figcaption>Training loss of three</figcaption>"));
  EXPECT_THAT(apart, HasSubstr("cannot be compared"));
}

}  // namespace
}  // namespace saferclip
