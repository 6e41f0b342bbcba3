// Which weights of a linear layer unsafe items excite more than safe ones; `uwm` flips their signs.
// Legend: B pairs, L tokens, I inputs, O outputs of the layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// Of a layer's inputs over an item's tokens, float64 [B, I].
struct TokenSpread {
  at::Tensor norm;       // L2
  at::Tensor deviation;  // standard deviation, of a sample
};
// inputs [B, L, I]; `is_real` bool [B, L]: the tokens that count, two at least of each item.
TokenSpread token_spread(const at::Tensor& inputs, const at::Tensor& is_real);

// The scores of one layer: the mean over pairs of o_i r_j, with o = |W| n_u / |W| n_s and
// r = (n_u / d_u) / (n_s / d_s). A ratio of two zeros or by zero says nothing and counts as 1.
class FlipScores {
 public:
  void add(const at::Tensor& weight, const TokenSpread& safe, const TokenSpread& unsafe);
  // float64 [O, I]; `by_size`: times |W|.
  at::Tensor scores(const at::Tensor& weight, bool by_size) const;

 private:
  at::Tensor sum_;  // float64 [O, I]
  std::int64_t pairs_ = 0;
};

// bool, of the shape of `scores`: the weights that hold the last `fraction` of the sum of all
// scores in ascending order.
at::Tensor highest_share(const at::Tensor& scores, double fraction);

}  // namespace saferclip
