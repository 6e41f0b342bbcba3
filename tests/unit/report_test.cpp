// The page out of plain data: what it says, that it escapes, that it needs nothing else.
#include "saferclip/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <regex>

#include "report/charts.h"
#include "report/html.h"
#include "report/label_places.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/search_page.h"

namespace saferclip {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::string train_line(int step, double loss) {
  return R"({"kind":"train","step":)" + std::to_string(step) + R"(,"loss":)" +
         std::to_string(loss) + R"(,"lr":0.001,"terms":{"uni_txt":0.5}})" + "\n";
}

ReportContent small_content() {
  ReportContent content;
  content.title = "run <1> & \"more\"";
  content.facts = {{"model", "base <tiny>"}, {"steps", "12"}};
  content.config = "model: {weights: 'a&b'}\n";
  return content;
}

TEST(Report, HoldsFactsAndConfigurationEscaped) {
  const std::string page = make_report(small_content());
  EXPECT_THAT(page, HasSubstr("<h1>run &lt;1&gt; &amp; &quot;more&quot;</h1>"));
  EXPECT_THAT(page, HasSubstr("<th scope=\"row\">model</th><td>base &lt;tiny&gt;</td>"));
  EXPECT_THAT(page, HasSubstr("<th scope=\"row\">steps</th><td>12</td>"));
  EXPECT_THAT(page, HasSubstr("weights: &#39;a&amp;b&#39;"));
  EXPECT_THAT(page, Not(HasSubstr("<tiny>")));
}

TEST(Report, SaysWhatIsMissingInsteadOfEmptySections) {
  const std::string page = make_report(small_content());
  EXPECT_THAT(page, HasSubstr("The run has no evaluation yet."));
  for (const char* id : {"results", "strength", "tags", "gallery", "worst", "training", "drift"}) {
    EXPECT_THAT(page, Not(HasSubstr(std::string("id=\"") + id + "\""))) << id;
    EXPECT_THAT(page, Not(HasSubstr(std::string("href=\"#") + id + "\""))) << id;
  }
}

TEST(Report, RefersToNothingOutsideOfThePage) {
  ReportContent content = small_content();
  content.metrics = train_line(1, 2.5) + train_line(2, 1.5);
  ReportQuery query;
  query.query = {"", "an unsafe caption", true};
  query.before = {{"\xFF\xD8", "one <b>", true}};
  query.after = {{"\xFF\xD8", "two", false}};
  content.galleries = {{"validation", {query}, {}, {}}};
  const std::string page = make_report(content);
  const std::regex reference(R"re((?:src|href)="([^"]*)")re");
  int count = 0;
  for (std::sregex_iterator it(page.begin(), page.end(), reference), end; it != end; ++it, ++count)
    EXPECT_TRUE((*it)[1].str().starts_with("#") || (*it)[1].str().starts_with("data:")) << (*it)[1];
  EXPECT_GE(count, 5);  // skip link, sections, two pictures
  for (const char* word : {"<script", "@import", "url(http", "<link"}) {
    EXPECT_THAT(page, Not(HasSubstr(word)));
  }
}

TEST(Report, BrokenLinesOfMetricsAreLeftOut) {
  ReportContent content = small_content();
  content.metrics = train_line(1, 2.5) + R"({"kind":"train","st)";
  const std::string page = make_report(content);
  EXPECT_THAT(page, HasSubstr("id=\"training\""));
  EXPECT_THAT(page, HasSubstr("uni_txt"));
  content.metrics += R"(
{"kind": 3, "step": "one"}
{"kind": "train", "step": 2, "loss": null, "terms": 7}
{"step": 3}
)";
  EXPECT_THAT(make_report(content), HasSubstr("id=\"training\""));
  content.metrics = R"({"kind":"train","st)";
  EXPECT_THAT(make_report(content), Not(HasSubstr("id=\"training\"")));
}

TEST(Report, TheCurriculumNeedsATraining) {
  ReportContent content = small_content();
  content.metrics = train_line(1, 2.5);
  EXPECT_THAT(make_report(content), Not(HasSubstr("Curriculum: rows admitted")));
  content.admitted = {1234, 2000};
  content.rows = 2000;
  const std::string page = make_report(content);
  EXPECT_THAT(page, HasSubstr("Curriculum: rows admitted"));
  EXPECT_THAT(page, HasSubstr("of 2,000 training rows"));
  EXPECT_THAT(page, HasSubstr("epoch 2"));
}

TEST(Report, MalformedEvaluationsAreRefused) {
  for (const char* text : {"", "{", "[]", R"({"n": 3})", R"({"split": 3})", R"({"split": "a"})",
                           R"({"split": "a", "n": "many", "before": {}, "after": {}})"}) {
    ReportContent content = small_content();
    content.evaluations = {text};
    EXPECT_THROW(make_report(content), DataError) << text;
  }
}

TEST(Report, UnsafePicturesAreBehindACheckBox) {
  const std::string veiled = picture_html({"abc", "a \"caption\"", true});
  EXPECT_THAT(veiled, HasSubstr("type=\"checkbox\""));
  EXPECT_THAT(veiled, HasSubstr("alt=\"a &quot;caption&quot;\""));
  EXPECT_THAT(veiled, HasSubstr("base64,YWJj\""));
  EXPECT_THAT(picture_html({"abc", "x", false}), Not(HasSubstr("checkbox")));
  EXPECT_THAT(picture_html({"", "words", true}), Not(HasSubstr("<img")));
}

// Both models, with the paired intervals of the two figures that the verdict rests on.
std::string evaluation(double unsafe_before, double unsafe_after, double recall_after,
                       double spread = 1) {
  const auto change = [&](const char* id, double difference) {
    return cat('"', id, R"(":{"difference":)", difference, R"(,"low":)", difference - spread,
               R"(,"high":)", difference + spread, R"(,"p":0.01})");
  };
  const auto model = [](double unsafe, double recall) {
    return cat(R"({"unsafe_top1":{"text":)", unsafe, R"(,"n":40},"retrieval":{"text_to_image":)",
               R"({"r@1":)", recall, R"(,"n":40,"gallery":40}}})");
  };
  return cat(R"({"split":"test","n":40,"before":)", model(unsafe_before, 90), R"(,"after":)",
             model(unsafe_after, recall_after), R"(,"change":{)",
             change("unsafe_top1.text", unsafe_after - unsafe_before), ",",
             change("retrieval.text_to_image.r@1", recall_after - 90), "}}");
}

std::string page_of(const std::string& document) {
  ReportContent content = small_content();
  content.evaluations = {document};
  return make_report(content);
}

TEST(Report, TheVerdictSaysWhatGotBetter) {
  const std::string page = page_of(evaluation(99.8, 0, 90));
  EXPECT_THAT(page, HasSubstr("class=\"verdict good\""));
  EXPECT_THAT(page, HasSubstr("Unsafe texts find an unsafe image first in 0.0 % of cases, down "
                              "from 99.8 % before."));
  EXPECT_THAT(page, HasSubstr("Safe text → image, R@1, stayed at 90.0 %."));
  EXPECT_THAT(page, HasSubstr("<span aria-hidden=\"true\">✓</span> better"));
  EXPECT_THAT(page, HasSubstr("lower is better"));
}

TEST(Report, TheVerdictHidesNothingThatGotWorse) {
  const std::string less_safe = page_of(evaluation(5, 67.5, 95));
  EXPECT_THAT(less_safe, HasSubstr("class=\"verdict bad\""));
  EXPECT_THAT(less_safe, HasSubstr("Less safe than before."));
  EXPECT_THAT(less_safe, HasSubstr("in 67.5 % of cases, up from 5.0 % before."));
  EXPECT_THAT(less_safe, HasSubstr("class=\"card bad\""));
  EXPECT_THAT(less_safe, HasSubstr("<span aria-hidden=\"true\">✗</span> worse"));

  const std::string at_a_price = page_of(evaluation(90, 60, 40));
  EXPECT_THAT(at_a_price, HasSubstr("class=\"verdict mixed\""));
  EXPECT_THAT(at_a_price, HasSubstr("Safer, at a price."));
  EXPECT_THAT(at_a_price, HasSubstr("which is still most of them"));
  EXPECT_THAT(at_a_price, HasSubstr("R@1, went from 90.0 to 40.0 %: worse."));

  const std::string unclear = page_of(evaluation(50, 45, 91, 6));
  EXPECT_THAT(unclear, HasSubstr("class=\"verdict even\""));
  EXPECT_THAT(unclear, HasSubstr("in 45.0 % of cases, 50.0 % before: no clear change."));
  EXPECT_THAT(unclear, Not(HasSubstr("class=\"card good\"")));
}

TEST(Report, AxesHaveShortMarks) {
  const std::string chart = line_chart(
      {"tiny", "step", "rate"}, {{"rate", {{1, 0}, {100, 0.00031}, {200, 0.00029999999}}, false}});
  const std::regex mark(">([^<]*)</text>");
  int count = 0;
  for (std::sregex_iterator it(chart.begin(), chart.end(), mark), end; it != end; ++it, ++count) {
    EXPECT_LE((*it)[1].str().size(), 6U) << (*it)[1];
  }
  EXPECT_GE(count, 8);
}

TEST(Report, AFigureThatHardlyMovesKeepsItsPanel) {
  std::string document = evaluation(90, 10, 90.5);
  document.pop_back();
  const auto point = [](double strength, double unsafe, double recall) {
    return cat(R"({"strength":)", strength, R"(,"after":{"unsafe_top1":{"text":)", unsafe,
               R"(},"retrieval":{"text_to_image":{"r@1":)", recall, "}}}}");
  };
  document += cat(R"(,"strengths":[)", point(0, 90, 90), ",", point(1, 10, 90.5), "]}");
  const std::string page = page_of(document);
  EXPECT_THAT(page, HasSubstr("unsafe text finds an unsafe image first (lower is better)"));
  EXPECT_THAT(page, HasSubstr("safe text → image, R@1 (higher is better)"));
  EXPECT_THAT(page, HasSubstr(">90.5</text>"));
}

// The numbers at the axes of a chart, which stand in elements without a class.
std::vector<std::string> marks_of(const std::string& chart) {
  const std::regex mark(R"re(text-anchor="(?:end|middle)">([\d,.]+)</text>)re");
  std::vector<std::string> marks;
  for (std::sregex_iterator it(chart.begin(), chart.end(), mark), end; it != end; ++it) {
    marks.push_back((*it)[1]);
  }
  return marks;
}

TEST(Report, ASmallChangeOfAPercentageLooksSmall) {
  EXPECT_THAT(marks_of(panel_chart({"small", "strength", "%"}, {{0, 0}, {1, 2}}, {"a", "b"})),
              Contains("20"));
  const auto high =
      marks_of(front_chart({"high", "x", "y"}, {{99, 98}, {100, 99}}, {"before", "after"}));
  EXPECT_THAT(high, Contains("80"));
  for (const std::string& mark : high) EXPECT_LE(std::stod(mark), 100) << mark;
}

TEST(Report, LabelsStandClearOfAxesLinesAndEachOther) {
  const LabelArea area{62, 4, 416, 258};
  const Points line{{130, 255}, {200, 150}, {410, 120}};
  const Points dots{{66, 258}, {130, 255}, {200, 150}, {410, 120}, {400, 112}};
  const std::vector<std::string> labels{"before", "one of the runs", "three", "run_four", "after"};
  const auto places = place_labels(dots, labels, line, area);
  ASSERT_EQ(places.size(), dots.size());
  std::vector<std::array<double, 4>> boxes;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double width = 6.8 * static_cast<double>(labels[i].size());
    const std::string anchor = places[i].anchor;
    const double left = places[i].x - (anchor == "end"      ? width
                                       : anchor == "middle" ? width / 2
                                                            : 0);
    boxes.push_back({left, places[i].y - 10, left + width, places[i].y + 3});
    EXPECT_LE(places[i].y + 3, area.bottom) << labels[i];
    EXPECT_GE(left, area.left) << labels[i];
    EXPECT_LE(left + width, area.right) << labels[i];
    for (double t = 0; t <= 1; t += 0.001) {  // no sample of the line lies under the label
      for (std::size_t k = 1; k < line.size(); ++k) {
        const double x = line[k - 1].first + t * (line[k].first - line[k - 1].first);
        const double y = line[k - 1].second + t * (line[k].second - line[k - 1].second);
        const auto& [l, top, r, bottom] = boxes.back();
        ASSERT_FALSE(x > l && x < r && y > top && y < bottom) << labels[i];
      }
    }
    for (std::size_t k = 0; k < i; ++k) {
      EXPECT_FALSE(boxes[i][0] < boxes[k][2] && boxes[k][0] < boxes[i][2] &&
                   boxes[i][1] < boxes[k][3] && boxes[k][1] < boxes[i][3])
          << labels[i] << " on " << labels[k];
    }
  }
}

TEST(Report, NothingToRevealWithoutUnsafePictures) {
  ReportContent content = small_content();
  ReportQuery query;
  query.query = {"", "words", true};
  query.before = {{"\xFF\xD8", "a cat", false}};
  content.galleries = {{"validation", {query}, {}, {}}};
  EXPECT_THAT(make_report(content), Not(HasSubstr("unsafe images")));
  content.galleries.front().texts.front().after = {{"\xFF\xD8", "a gun", true}};
  EXPECT_THAT(make_report(content), HasSubstr("Show all unsafe images"));
}

TEST(Report, TheLeastPossiblePIsNoExactOne) {
  std::string document = evaluation(99.8, 0, 95);
  document.pop_back();
  const std::string page = page_of(document + R"(,"bootstrap":99})");
  EXPECT_THAT(page, HasSubstr(">p ≤ 0.010</span>"));
  EXPECT_THAT(page_of(document + R"(,"bootstrap":1000})"), HasSubstr(">p 0.010</span>"));
  EXPECT_THAT(page, HasSubstr("R@1, went from 90.0 to 95.0 %: better."));
}

TEST(Report, PartnersAreMarkedAndOneBoxShowsAll) {
  ReportContent content = small_content();
  ReportQuery query;
  query.query = {"\xFF\xD8", "an unsafe picture", true};
  query.before = {{"", "the words for it", true, "the text that names it"}};
  query.after = {{"", "other words", false}};
  content.galleries = {{"validation", {}, {query}, {query}}};
  const std::string page = make_report(content);
  EXPECT_THAT(page, HasSubstr("★</span> the text that names it</b>"));
  EXPECT_THAT(page, HasSubstr("<p class=\"words unsafe own\">"));
  EXPECT_THAT(page, HasSubstr("<p class=\"words safe\">"));
  EXPECT_EQ(page.find("id=\"reveal-all\""), page.rfind("id=\"reveal-all\""));
  EXPECT_LT(page.find("id=\"images\""), page.find("id=\"reveal-all\""));
}

TEST(Report, EachSplitHasItsGalleries) {
  ReportContent content = small_content();
  ReportQuery query;
  query.query = {"", "an unsafe text", true};
  query.after = {{"", "some words", false}};
  content.galleries = {{"validation", {query}, {}, {}}, {"test & more", {query}, {}, {query}}};
  const std::string page = make_report(content);
  EXPECT_THAT(page,
              HasSubstr("<h3>Split validation</h3>\n<article class=\"query\"><h4>“an unsafe"));
  EXPECT_THAT(page, HasSubstr("<h3>Split test &amp; more</h3>\n<article class=\"query\"><h4>"));
  EXPECT_THAT(page, HasSubstr("<h5>after</h5>"));
  EXPECT_THAT(page, Not(HasSubstr("id=\"images\"")));
  content.galleries.pop_back();
  EXPECT_THAT(make_report(content),
              HasSubstr("<article class=\"query\"><h3>“an unsafe text”</h3>"));
}

TEST(SearchPage, NamesBreakAtTheirParts) {
  SearchPage page;
  page.queries = {{"a <b>", {{"before", {{"\xFF\xD8", "in/my-cat_1.large.png", 0.5, false}}}}}};
  const std::string html = make_search_page(page);
  EXPECT_THAT(html, HasSubstr("0.500 in/<wbr>my-<wbr>cat_<wbr>1<wbr>.large<wbr>.png</figcap"));
  EXPECT_THAT(html, HasSubstr("alt=\"in/my-cat_1.large.png\""));
}

TEST(Report, Base64AsOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("\xFB\xFF"), "+/8=");
}

}  // namespace
}  // namespace saferclip
