// The scores of UWM: the frozen towers read pairs in small batches, safe items first, and each
// layer's inputs are summed up before the next batch. Of a large split evenly spread pairs are
// enough.
#include "saferclip/objective/sign_flips.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "run/closed_form.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/caches.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/nn/block_inputs.h"

namespace saferclip {
namespace {

constexpr std::int64_t kMostPairs = 2048;
constexpr std::int64_t kPairsAtOnce = 8;

std::vector<std::int64_t> spread_evenly(const std::vector<std::int64_t>& rows, Logger& log) {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (count <= kMostPairs) return rows;
  log.info(cat("uwm: scored on ", with_commas(kMostPairs), " of ", with_commas(count),
               " pairs, evenly spread over the list"));
  std::vector<std::int64_t> picked;
  for (std::int64_t i = 0; i < kMostPairs; ++i) {
    picked.push_back(rows[static_cast<std::size_t>(i * count / kMostPairs)]);
  }
  return picked;
}

class TowerScores {
 public:
  TowerScores(const ClosedFormParts& parts, Towers tower)
      : parts_(parts),
        is_text_(tower == Towers::kText),
        model_(parts.preparer.reference()),
        device_(parts.session.device),
        blocks_((is_text_ ? model_.text.transformer : model_.vision.transformer).blocks),
        scores_(blocks_.size()) {
    mode_.stop = &parts.stop;
  }

  void add(const std::vector<std::int64_t>& rows) {
    const SplitData& train = parts_.data.train;
    const at::Tensor index = at::tensor(rows, at::kLong);
    const std::vector<TokenSpread> safe =
        is_text_ ? read_texts(train.tokens.safe.index_select(0, index))
                 : read_pictures(train.images.safe.index_select(0, index));
    const std::vector<TokenSpread> unsafe =
        is_text_ ? read_texts(train.tokens.unsafe.index_select(0, index))
                 : read_pictures(train.images.unsafe.index_select(0, index));
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      scores_[i].add(target(i).weight, safe[i], unsafe[i]);
    }
  }

  // The layers with their flipped signs, and how many weights of all flipped.
  ClosedFormSolution flipped(double fraction) const {
    ClosedFormSolution solution;
    std::int64_t flips = 0, weights = 0;
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      const at::Tensor& weight = target(i).weight;
      const at::Tensor mask = highest_share(scores_[i].scores(weight, is_text_), fraction);
      const std::string name =
          is_text_ ? cat("text_model.encoder.layers.", i, ".self_attn.out_proj.weight")
                   : cat("vision_model.encoder.layers.", i, ".mlp.fc2.weight");
      solution.tensors.push_back({name, at::where(mask, -weight, weight).to(at::kCPU)});
      flips += mask.sum().item<std::int64_t>();
      weights += mask.numel();
    }
    solution.figures["flipped"] = flips;
    solution.figures["of_weights"] = weights;
    return solution;
  }

 private:
  const Linear& target(std::size_t block) const {
    return is_text_ ? blocks_[block].out : blocks_[block].fc2;
  }

  std::vector<TokenSpread> read(const Transformer& transformer, const at::Tensor& tokens,
                                const at::Tensor& is_real) const {
    std::vector<TokenSpread> spreads(blocks_.size());
    see_block_inputs(transformer, tokens, mode_,
                     [&](std::size_t i, const at::Tensor& attended, const at::Tensor& hidden) {
                       spreads[i] = token_spread(is_text_ ? attended : hidden, is_real);
                     });
    return spreads;
  }

  std::vector<TokenSpread> read_texts(const at::Tensor& ids) const {
    const at::Tensor ends = end_positions(ids, parts_.data.train.tokens.pooled);
    const std::int64_t length = cut_length(ends, ids.size(1));
    const at::Tensor is_real = at::arange(length, at::kLong).unsqueeze(0) <= ends.unsqueeze(1);
    const at::Tensor cut = ids.narrow(1, 0, length).contiguous().to(device_);
    return read(model_.text.transformer, text_tokens(model_, cut, mode_), is_real.to(device_));
  }

  std::vector<TokenSpread> read_pictures(const at::Tensor& pixels) const {
    const at::Tensor tokens =
        image_tokens(model_, parts_.session.source.preprocessing, pixels.to(device_), mode_);
    return read(model_.vision.transformer, tokens,
                at::ones({tokens.size(0), tokens.size(1)}, tokens.options().dtype(at::kBool)));
  }

  const ClosedFormParts& parts_;
  bool is_text_;
  const ClipModel& model_;
  at::Device device_;
  const std::vector<Block>& blocks_;
  std::vector<FlipScores> scores_;
  ForwardMode mode_;
};

}  // namespace

ClosedFormSolution solve_sign_flips(const ClosedFormParts& parts, Towers tower,
                                    const std::vector<std::int64_t>& rows) {
  const std::vector<std::int64_t> pairs = spread_evenly(rows, parts.log);
  TowerScores scores(parts, tower);
  const auto count = static_cast<std::int64_t>(pairs.size());
  Progress progress(parts.log, cat("scoring the ", tower, " tower"), "pairs", count);
  for (std::int64_t begin = 0; begin < count; begin += kPairsAtOnce) {
    const std::int64_t end = std::min(begin + kPairsAtOnce, count);
    scores.add({pairs.begin() + begin, pairs.begin() + end});
    progress.advance(end - begin);
  }
  ClosedFormSolution solution = scores.flipped(parts.session.config.adapter.flip_fraction);
  solution.figures["pairs"] = count;
  return solution;
}

}  // namespace saferclip
