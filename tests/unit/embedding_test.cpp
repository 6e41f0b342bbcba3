// A row's embedding has the same bits whatever rows are embedded with it, so that it can be taken
// over from another artifact.
#include "saferclip/prepare/embedding.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "prepare/known_rows.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/rng.h"
#include "saferclip/weights/weights.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

constexpr std::int64_t kRows = 120;

class EmbeddedRows : public ::testing::Test {
 protected:
  EmbeddedRows() {
    // Widths that are no multiples of any vector unit's.
    write_file_atomically(folder_ / "model.json", R"({"model_type": "clip", "projection_dim": 40,
      "text_config": {"hidden_size": 72, "intermediate_size": 300, "num_hidden_layers": 2,
        "num_attention_heads": 2, "hidden_act": "quick_gelu", "max_position_embeddings": 77,
        "vocab_size": 600},
      "vision_config": {"hidden_size": 104, "intermediate_size": 416, "num_hidden_layers": 2,
        "num_attention_heads": 4, "hidden_act": "gelu", "image_size": 40, "patch_size": 8}})");
    ModelOptions options;
    options.init = (folder_ / "model.json").string();
    source_ = open_weights(options, 3);
    model_ = load_clip(source_);
    CounterRng rng(5);
    ids_ = at::zeros({kRows, 77}, at::kInt);
    for (std::int64_t i = 0; i < kRows; ++i) {
      const auto end = static_cast<std::int64_t>(2 + rng.below(i % 5 == 0 ? 75 : 13));
      ids_[i][0] = 598;
      ids_[i][1] = i;  // no two are equal
      for (std::int64_t at = 2; at < end; ++at) ids_[i][at] = static_cast<int>(rng.below(590));
      ids_[i][end] = 599;
    }
    pixels_ = at::empty({kRows, 40, 40, 3}, at::kByte);
    auto* data = pixels_.mutable_data_ptr<std::uint8_t>();
    for (std::int64_t i = 0; i < pixels_.numel(); ++i)
      data[i] = static_cast<std::uint8_t>(rng.below(256));
    job_.fills_blocks = true;
  }

  at::Tensor captions(const at::Tensor& rows) {
    return embed_ids(model_, ids_.index_select(0, rows), job_);
  }
  at::Tensor pictures(const at::Tensor& rows) {
    return embed_pixels(model_, source_.preprocessing, pixels_, rows, job_);
  }

  TemporaryFolder folder_;
  Logger log_{LogLevel::kOff};
  WeightsSource source_;
  ClipModel model_;
  EmbedJob job_{log_, "test"};
  at::Tensor ids_, pixels_;
};

TEST_F(EmbeddedRows, HaveTheSameBitsInAnyCompany) {
  const at::Tensor all = at::arange(kRows, at::kLong);
  for (const std::int64_t block : {8, 64}) {
    job_.block = block;
    const at::Tensor texts = captions(all), images = pictures(all);
    const std::vector<at::Tensor> selections{
        all.flip(0), at::arange(3, 5, at::kLong), at::arange(7, kRows, 9, at::kLong),
        at::cat({at::arange(60, 77, at::kLong), at::arange(0, 33, at::kLong)}),
        at::arange(kRows - 1, kRows, at::kLong)};
    for (const at::Tensor& rows : selections) {
      EXPECT_TRUE(captions(rows).equal(texts.index_select(0, rows)))
          << rows.size(0) << " " << block;
      EXPECT_TRUE(pictures(rows).equal(images.index_select(0, rows)))
          << rows.size(0) << " " << block;
    }
  }
}

TEST_F(EmbeddedRows, AreTakenOverFromAnArtifactAndNewOnesEmbeddedOnce) {
  const at::Tensor digests = row_digests(ids_);
  std::vector<NamedTensor> kept;
  const at::Tensor old = at::arange(0, 100, at::kLong);
  append_with_source(kept, "text", captions(old), digests.index_select(0, old));
  std::filesystem::create_directories(folder_ / "reference-1");
  write_safetensors(folder_ / "reference-1" / kArtifactData, kept);
  Relative relative{folder_ / "reference-1", {}};
  relative.manifest.file_sha256 = sha256_file(relative.folder / kArtifactData);
  // Rows 90 to 119, one of them twice, and one that is not there.
  at::Tensor rows = at::cat({at::arange(90, 120, at::kLong), at::full({2}, 119, at::kLong)});
  at::Tensor wanted = digests.index_select(0, rows);
  wanted[31].zero_();
  for (const bool is_damaged : {false, true}) {
    if (is_damaged) relative.manifest.file_sha256[0] ^= 1;
    KnownRows known({relative}, 40, log_);
    std::int64_t asked = 0;
    const at::Tensor got = known.embed(wanted, [&](const at::Tensor& positions) {
      asked = positions.size(0);
      return captions(rows.index_select(0, positions));
    });
    EXPECT_EQ(asked, is_damaged ? 30 : 20);
    EXPECT_EQ(known.taken_from(), is_damaged ? "" : "reference-1");
    EXPECT_EQ(known.was_known()[3], !is_damaged);
    EXPECT_FALSE(known.was_known()[30]);
    EXPECT_TRUE(got.narrow(0, 0, 31).equal(captions(rows).narrow(0, 0, 31)));
    EXPECT_TRUE(got[31].eq(0).all().item<bool>());
  }
}

}  // namespace
}  // namespace saferclip
