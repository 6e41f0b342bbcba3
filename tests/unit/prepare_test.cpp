// Artifacts of the cache, and rows that finished ones hold already.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "prepare/artifact.h"
#include "prepare/known_rows.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// An artifact whose only tensor counts how often it was made.
class ArtifactTest : public ::testing::Test {
 protected:
  ArtifactRequest request(const std::string& key, const std::string& recipe = "") {
    ArtifactRequest request;
    request.cache_dir = folder_.path();
    request.kind = "things";
    request.key = key;
    request.inputs = {{"what", "a test"}};
    request.recipe = recipe;
    request.build = [this](const fs::path& folder, const std::vector<Relative>& relatives,
                           const std::vector<NamedTensor>&) {
      EXPECT_FALSE(fs::exists(folder / "manifest.json"));  // it vouches for nothing half made
      relatives_.clear();
      for (const Relative& relative : relatives) relatives_.push_back(relative.manifest.key);
      write_safetensors(folder / kArtifactData, {{"count", at::full({1}, ++made_)}});
    };
    return request;
  }
  int open(const ArtifactRequest& request) {
    return open_or_build(request, {}, log_, nullptr).tensor("count").item<int>();
  }

  TemporaryFolder folder_;
  Logger log_{LogLevel::kOff};
  int made_ = 0;
  std::vector<std::string> relatives_;
};

const std::string kKey(64, '1'), kOther(64, '2');

TEST_F(ArtifactTest, IsMadeOnceAndNamedByItsKey) {
  EXPECT_EQ(open(request(kKey)), 1);
  EXPECT_EQ(open(request(kKey)), 1);
  const fs::path folder = folder_ / "things-1111111111111111";
  EXPECT_EQ(artifact_folder(folder_.path(), "things", kKey), folder);
  const ArtifactManifest manifest = read_artifact_manifest(folder);
  EXPECT_EQ(manifest.kind, "things");
  EXPECT_EQ(manifest.key, kKey);
  EXPECT_EQ(manifest.inputs.at("what"), "a test");
  EXPECT_EQ(manifest.file_size, fs::file_size(folder / kArtifactData));
  EXPECT_EQ(manifest.file_sha256, sha256_file(folder / kArtifactData));
  EXPECT_EQ(open(request(kOther)), 2);
  // The folder's name holds the beginning of the key alone.
  EXPECT_EQ(open(request(std::string(16, '1') + std::string(48, '3'))), 3);
}

TEST_F(ArtifactTest, IsMadeAnewWhenItIsDamagedOrOutdated) {
  EXPECT_EQ(open(request(kKey)), 1);
  const fs::path folder = artifact_folder(folder_.path(), "things", kKey);
  std::ofstream(folder / kArtifactData, std::ios::app) << "x";
  EXPECT_EQ(open(request(kKey)), 2);
  std::ofstream(folder / "manifest.json") << "{";
  EXPECT_EQ(open(request(kKey)), 3);
  fs::remove(folder / kArtifactData);
  EXPECT_EQ(open(request(kKey)), 4);
  ArtifactRequest checked = request(kKey);
  bool is_current = true;
  checked.is_current = [&](const fs::path& asked) {
    EXPECT_EQ(asked, folder);
    return is_current;
  };
  EXPECT_EQ(open(checked), 4);
  is_current = false;
  EXPECT_EQ(open(checked), 5);
}

TEST_F(ArtifactTest, AFailedBuildLeavesNothingThatCounts) {
  EXPECT_EQ(open(request(kKey)), 1);
  ArtifactRequest failing = request(kKey);
  failing.is_current = [](const fs::path&) { return false; };
  failing.build = [](const auto&...) { throw DataError("no"); };
  EXPECT_THROW(open(failing), DataError);
  EXPECT_EQ(open(request(kKey)), 2);
}

TEST_F(ArtifactTest, RelativesAreThoseOfTheSameRecipe) {
  open(request(kKey, "recipe"));
  EXPECT_THAT(relatives_, SizeIs(0));
  open(request(kOther, "another recipe"));
  EXPECT_THAT(relatives_, SizeIs(0));
  open(request(std::string(64, '3'), "recipe"));
  EXPECT_THAT(relatives_, ElementsAre(kKey));
  open(request(std::string(64, '4')));
  EXPECT_THAT(relatives_, SizeIs(0));
  // An outdated one in the same folder is a relative, one of another size is none.
  ArtifactRequest outdated = request(kKey, "recipe");
  outdated.is_current = [](const fs::path&) { return false; };
  open(outdated);
  EXPECT_THAT(relatives_, ElementsAre(kKey, std::string(64, '3')));
  std::ofstream(artifact_folder(folder_.path(), "things", kKey) / kArtifactData, std::ios::app)
      << "x";
  open(request(std::string(64, '5'), "recipe"));
  EXPECT_THAT(relatives_, ElementsAre(std::string(64, '3')));
}

// --- rows that are there already

at::Tensor ids_of(std::vector<int> ids) {
  return at::tensor(ids, at::kInt).view({-1, 1}).expand({-1, 3}).contiguous();
}

// The embedding of id i is [i, i + 0.5].
at::Tensor rows_of(const at::Tensor& ids) {
  const at::Tensor first = ids.select(1, 0).to(at::kFloat);
  return at::stack({first, first + 0.5}, 1);
}

class KnownRowsTest : public ::testing::Test {
 protected:
  Relative donor(const std::string& name, const at::Tensor& ids) {
    Relative relative{folder_ / name, {}};
    fs::create_directories(relative.folder);
    std::vector<NamedTensor> tensors;
    append_with_source(tensors, "safe_text", rows_of(ids), row_digests(ids));
    write_safetensors(relative.folder / kArtifactData, tensors);
    relative.manifest.file_sha256 = sha256_file(relative.folder / kArtifactData);
    return relative;
  }
  // Embeds `ids`; asked_ holds the ids that had to be embedded.
  at::Tensor embed(KnownRows& known, const at::Tensor& ids) {
    asked_.clear();
    return known.embed(row_digests(ids), [&](const at::Tensor& positions) {
      const at::Tensor chosen = ids.index_select(0, positions);
      for (std::int64_t i = 0; i < chosen.size(0); ++i) asked_.push_back(chosen[i][0].item<int>());
      return rows_of(chosen);
    });
  }

  TemporaryFolder folder_;
  Logger log_{LogLevel::kOff};
  std::vector<int> asked_;
};

TEST(Digests, AreSha256OfTheRowsBytes) {
  const at::Tensor ids = ids_of({1, 2, 1});
  const at::Tensor digests = row_digests(ids);
  ASSERT_EQ(digests.sizes(), (std::vector<std::int64_t>{3, 32}));
  EXPECT_TRUE(at::equal(digests[0], digests[2]));
  EXPECT_FALSE(at::equal(digests[0], digests[1]));
  const std::string hex = sha256_hex({static_cast<const char*>(ids.const_data_ptr()), 12});
  EXPECT_EQ(digests[0][0].item<int>(), std::stoi(hex.substr(0, 2), nullptr, 16));
  EXPECT_EQ(digests[0][31].item<int>(), std::stoi(hex.substr(62), nullptr, 16));
  EXPECT_EQ(row_digests(ids.narrow(0, 0, 0)).size(0), 0);
  std::vector<PictureRecord> records(3);
  records[0].sha256 = hex;
  records[1].sha256 = hex;
  records[1].problem = "is truncated";
  const at::Tensor pictures = picture_digests(records);
  EXPECT_TRUE(at::equal(pictures[0], digests[0]));
  EXPECT_EQ(pictures.narrow(0, 1, 2).abs().max().item<int>(), 0);
}

TEST_F(KnownRowsTest, OnlyNewRowsAreEmbeddedEachOnce) {
  KnownRows known({donor("reference-a", ids_of({1, 2})), donor("reference-b", ids_of({3, 9}))}, 2,
                  log_);
  const at::Tensor ids = ids_of({5, 2, 3, 5, 6});
  EXPECT_TRUE(at::equal(embed(known, ids), rows_of(ids)));
  EXPECT_THAT(asked_, ElementsAre(5, 6));
  EXPECT_THAT(known.was_known(), ElementsAre(false, true, true, false, false));
  EXPECT_EQ(known.taken_from(), "reference-a, reference-b");
}

TEST_F(KnownRowsTest, NothingIsEmbeddedWhenAllIsKnown) {
  KnownRows known({donor("a", ids_of({1, 2}))}, 2, log_);
  EXPECT_TRUE(at::equal(embed(known, ids_of({2, 2})), rows_of(ids_of({2, 2}))));
  EXPECT_THAT(asked_, SizeIs(0));
}

TEST_F(KnownRowsTest, ARowWithoutDigestIsZero) {
  KnownRows known({}, 2, log_);
  at::Tensor digests = row_digests(ids_of({1, 2}));
  digests[0].zero_();
  const at::Tensor rows = known.embed(digests, [](const at::Tensor& positions) {
    EXPECT_TRUE(at::equal(positions, at::tensor({1}, at::kLong)));
    return at::ones({1, 2});
  });
  EXPECT_TRUE(at::equal(rows, at::tensor({0.0F, 0.0F, 1.0F, 1.0F}).view({2, 2})));
  EXPECT_EQ(known.taken_from(), "");
}

TEST_F(KnownRowsTest, NothingIsTakenOfADamagedGoneOrMisshapenOne) {
  Relative damaged = donor("damaged", ids_of({1}));
  damaged.manifest.file_sha256 = std::string(64, '0');
  Relative gone = donor("gone", ids_of({2}));
  fs::remove(gone.folder / kArtifactData);
  KnownRows known({damaged, gone, donor("good", ids_of({3}))}, 2, log_);
  const at::Tensor ids = ids_of({1, 2, 3});
  EXPECT_TRUE(at::equal(embed(known, ids), rows_of(ids)));
  EXPECT_THAT(asked_, ElementsAre(1, 2));
  EXPECT_EQ(known.taken_from(), "good");
  KnownRows wider({donor("narrow", ids_of({3}))}, 3, log_);
  wider.embed(row_digests(ids_of({3})), [](const at::Tensor&) { return at::ones({1, 3}); });
  EXPECT_THAT(wider.was_known(), ElementsAre(false));
}

TEST(Undamaged, IsSaidByTheChecksum) {
  const TemporaryFolder folder;
  Logger log(LogLevel::kOff);
  std::ofstream(folder / kArtifactData) << "content";
  Relative relative{folder.path(), {}};
  relative.manifest.file_sha256 = sha256_hex("content");
  EXPECT_TRUE(is_undamaged(relative, log));
  std::ofstream(folder / kArtifactData) << "CONTENT";
  EXPECT_FALSE(is_undamaged(relative, log));
  fs::remove(folder / kArtifactData);
  EXPECT_FALSE(is_undamaged(relative, log));
}

}  // namespace
}  // namespace saferclip
