// What `init` chooses and how it pairs images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "saferclip/core/error.h"
#include "saferclip/run/captioned_folder.h"
#include "saferclip/run/starter_config.h"
#include "saferclip/run/templates.h"
#include "support/message_of.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

StarterFacts facts_of(std::int64_t rows) {
  StarterFacts facts;
  facts.rows = facts.rows_read = rows;
  facts.has_unsafe = true;
  return facts;
}

TEST(Starter, BatchIsNoLargerThanTheRows) {
  EXPECT_EQ(choose_values(facts_of(7), {}).batch_size, 7);
  EXPECT_EQ(choose_values(facts_of(0), {}).batch_size, 1);
  EXPECT_EQ(choose_values(facts_of(1000), {}).batch_size, 48);
}

TEST(Starter, ObjectiveFollowsTheData) {
  StarterFacts facts = facts_of(10);
  EXPECT_EQ(choose_values(facts, {}).objective, ObjectiveName::kSaferClip);
  facts.has_unsafe = false;
  EXPECT_EQ(choose_values(facts, {}).objective, ObjectiveName::kClip);
  facts.family = Family::kSiglip;
  EXPECT_EQ(choose_values(facts, {}).objective, ObjectiveName::kSiglip);
  EXPECT_THROW(choose_values(facts, ObjectiveName::kSafeClip), ConfigError);
}

TEST(Starter, MicroBatchesFitTheMemory) {
  StarterFacts facts = facts_of(1000);
  facts.needed_bytes = [](std::int64_t rows) {
    return 100 + 10 * static_cast<std::uint64_t>(rows);
  };
  EXPECT_FALSE(choose_values(facts, {}).micro_batch_size);  // memory unknown
  facts.available_bytes = 580;
  EXPECT_FALSE(choose_values(facts, {}).micro_batch_size);
  facts.available_bytes = 350;
  EXPECT_EQ(choose_values(facts, {}).micro_batch_size, 24);
  facts.available_bytes = 50;
  EXPECT_EQ(choose_values(facts, {}).micro_batch_size, 1);
  EXPECT_FALSE(choose_values(facts, {}).fits);
}

TEST(Starter, FewBadRowsAreSkipped) {
  StarterFacts facts = facts_of(1000);
  EXPECT_FALSE(choose_values(facts, {}).skips_bad_rows);
  facts.bad_rows = 10;
  EXPECT_TRUE(choose_values(facts, {}).skips_bad_rows);
  facts.bad_rows = 11;
  EXPECT_FALSE(choose_values(facts, {}).skips_bad_rows);
}

CaptionedFolder folder_of(const std::string& folder, const std::vector<std::string>& names) {
  CaptionedFolder result;
  result.folder = folder;
  for (const std::string& name : names) result.images.push_back({folder + "/" + name, name, "x"});
  return result;
}

TEST(Starter, PairsByStem) {
  const ImagePairs pairs =
      pair_images(folder_of("/d/s", {"1.jpg", "a/2.png", "3.jpg"}),
                  folder_of("/d/u", {"1.webp", "2.png", "a/2.jpg"}), PairBy::kName);
  ASSERT_EQ(pairs.pairs.size(), 2U);
  EXPECT_EQ(pairs.pairs[0].unsafe.name, "1.webp");
  EXPECT_EQ(pairs.pairs[1].unsafe.name, "a/2.jpg");
  EXPECT_THAT(pairs.safe_alone, ElementsAre("3.jpg"));
  EXPECT_THAT(pairs.unsafe_alone, ElementsAre("2.png"));
  EXPECT_THAT(manifest_of(pairs, "/d"), HasSubstr(R"("unsafe_image":"u/a/2.jpg")"));
  EXPECT_THAT(message_of<DataError>([] {
                pair_images(folder_of("/s", {"1.jpg", "1.png"}), {}, PairBy::kName);
              }),
              HasSubstr("differ in their extension alone"));
}

TEST(Starter, PairsByOrderAndAtRandom) {
  const CaptionedFolder safe = folder_of("/d/s", {"a", "b", "c", "d", "e", "f"});
  const CaptionedFolder unsafe = folder_of("/d/u", {"1", "2", "3", "4", "5", "6", "7", "8"});
  const auto partners = [&](PairBy by) {
    std::vector<std::string> names;
    for (const ImagePair& pair : pair_images(safe, unsafe, by).pairs)
      names.push_back(pair.unsafe.name);
    return names;
  };
  EXPECT_THAT(partners(PairBy::kOrder), ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_THAT(pair_images(safe, unsafe, PairBy::kOrder).unsafe_alone, ElementsAre("7", "8"));
  EXPECT_THAT(pair_images(unsafe, safe, PairBy::kOrder).safe_alone, ElementsAre("7", "8"));
  const std::vector<std::string> drawn = partners(PairBy::kRandom);
  EXPECT_EQ(drawn, partners(PairBy::kRandom));
  EXPECT_NE(drawn, partners(PairBy::kOrder));
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 6U);
}

TEST(Starter, CommentsOfATemplate) {
  const auto comments = key_comments(
      "# head\na:   # first\n  b: \"x # y\"   # second\n  # c: 1\n  d: 1\ne: {f: 1}  # third\n");
  EXPECT_THAT(comments, ElementsAre(Pair("a", "first"), Pair("a.b", "second"), Pair("a.d", ""),
                                    Pair("e", "third")));
}

}  // namespace
}  // namespace saferclip
