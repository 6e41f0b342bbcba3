// Which values a comma separates.
#include "saferclip/run/sweep.h"

#include <gtest/gtest.h>

#include "saferclip/core/error.h"

namespace saferclip {
namespace {

using Values = std::vector<std::string>;

Values values(const std::string& text) { return swept_values("--set k", text); }

TEST(SweptValues, CommasSeparateOutsideOfQuotesAndBrackets) {
  EXPECT_EQ(values("1"), Values({"1"}));
  EXPECT_EQ(values("1e-4, 3e-4"), Values({"1e-4", "3e-4"}));
  EXPECT_EQ(values("[a,b],[c]"), Values({"[a,b]", "[c]"}));
  EXPECT_EQ(values("{a: [1,2], b: 3},null"), Values({"{a: [1,2], b: 3}", "null"}));
  EXPECT_EQ(values("'a,b',\"c,d\",e"), Values({"'a,b'", "\"c,d\"", "e"}));
  EXPECT_EQ(values("['a],b',c],d"), Values({"['a],b',c]", "d"}));
  EXPECT_EQ(values("''"), Values({"''"}));
}

TEST(SweptValues, MarksInsideOfAWordAreLetters) {
  EXPECT_EQ(values("it's,a[1"), Values({"it's", "a[1"}));
}

TEST(SweptValues, RefusesWhatIsEmptyOrOpen) {
  for (const char* text : {"", ",", "1,", "1,,2", "[1,2", "'a,b", "\"a", "{a: [1}"}) {
    EXPECT_THROW(values(text), ConfigError) << text;
  }
}

}  // namespace
}  // namespace saferclip
