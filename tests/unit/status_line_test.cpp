// The line that shows progress: what it says, and that no terminal is too narrow for it.
#include <gtest/gtest.h>

#include "saferclip/core/display.h"
#include "saferclip/core/progress.h"

namespace saferclip {
namespace {

StatusText training() {
  return {"",
          "training",
          450,
          1000,
          {"450/1,000 steps", "2m 10s left", "loss 1.2345", "3.40 s/step", "14 quadruplets/s",
           "1.2 GiB", "epoch 3"}};
}

TEST(StatusLine, LosesFieldsFromTheRight) {
  EXPECT_EQ(fit_status(training(), 120),
            "training [===>       ]  45%  450/1,000 steps  2m 10s left  loss 1.2345  3.40 s/step  "
            "14 quadruplets/s  1.2 GiB  epoch 3");
  EXPECT_EQ(fit_status(training(), 80),
            "training [==>    ]  45%  450/1,000 steps  2m 10s left  loss 1.2345  3.40 s/step");
  EXPECT_EQ(fit_status(training(), 60),
            "training [====>        ]  45%  450/1,000 steps  2m 10s left");
  EXPECT_EQ(fit_status(training(), 21), "training [>   ]  45%");
  EXPECT_EQ(fit_status(training(), 20), "training  45%");
  EXPECT_EQ(fit_status(training(), 10), "tr..  45%");
}

TEST(StatusLine, IsNeverAsWideAsTheTerminal) {
  StatusText text = training();
  for (const char* label : {"training", "embedding ヴァリデーション, safe", "e\xCC\x81valuer",
                            "\xFF\xFE not UTF-8 \xE3\x83", "two\nlines\tof \x1b[31mred"}) {
    text.label = label;
    for (const std::int64_t total : {0, 1, 1000}) {
      text.total = total;
      for (const char* outer : {"", "training 450/1,000: "}) {
        text.outer = outer;
        for (std::size_t columns = 0; columns < 200; ++columns) {
          const std::string line = fit_status(text, columns);
          EXPECT_LE(display_columns(line), columns > 0 ? columns - 1 : 0) << line;
          for (const char letter : line)
            EXPECT_GE(static_cast<unsigned char>(letter), 0x20) << line;
        }
      }
    }
  }
}

TEST(StatusLine, SaysWhatItIsAPartOfWhereThereIsRoom) {
  const StatusText text{"strengths 2/5: ", "embedding validation safe", 1, 2, {"1/2 images"}};
  EXPECT_EQ(fit_status(text, 80),
            "strengths 2/5: embedding validation safe [========>          ]  50%  1/2 images");
  EXPECT_EQ(fit_status(text, 50), "embedding validation safe [=>  ]  50%  1/2 images");
}

TEST(StatusLine, WorkWithoutACountHasNoBar) {
  EXPECT_EQ(fit_status({"", "ranking validation", 0, 0, {"4.1s"}}, 80), "ranking validation  4.1s");
}

TEST(StatusLine, RatesBelowOneASecondAreSecondsAPiece) {
  EXPECT_EQ(rate_text(123.4, "images"), "123 images/s");
  EXPECT_EQ(rate_text(2.34, "rows"), "2.3 rows/s");
  EXPECT_EQ(rate_text(0.25, "steps"), "4.00 s/step");
}

TEST(Display, CountsColumns) {
  EXPECT_EQ(display_columns("plain"), 5U);
  EXPECT_EQ(display_columns("é"), 1U);
  EXPECT_EQ(display_columns("e\xCC\x81"), 1U);  // with a combining accent
  EXPECT_EQ(display_columns("日本"), 4U);
  EXPECT_EQ(display_columns("🙂"), 2U);
  EXPECT_EQ(display_columns("\xE6\x97"), 2U);  // cut in the middle of a letter
  EXPECT_EQ(cut_to_columns("日本語", 5), "日..");
  EXPECT_EQ(cut_to_columns("日本語", 6), "日本語");
  EXPECT_EQ(cut_to_columns("abcdef", 1), ".");
  EXPECT_EQ(cut_to_columns("abcdef", 0), "");
}

}  // namespace
}  // namespace saferclip
