// The page out of plain data: what it says, that it escapes, that it needs nothing else.
#include "saferclip/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "report/html.h"
#include "saferclip/core/error.h"

namespace saferclip {
namespace {

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
  content.gallery = {query};
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
