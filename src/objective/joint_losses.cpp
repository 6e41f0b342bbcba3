// Everything is a tensor of fixed shape, so that no step waits for the device to know how many
// neighbors there are; what is left out has the logit or the log weight kLeftOut. Logarithms are
// taken of sums, never of a probability, which could be 0.
#include "objective/joint_losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

// Stands for −∞.
constexpr double kLeftOut = -1e9;
// Equal rows may have a cosine that rounding puts below 1.
constexpr double kRounding = 1e-6;

// The row itself and its neighbors, [B, 1 + K].
at::Tensor with_itself(const at::Tensor& neighbours) {
  const at::Tensor own = at::arange(neighbours.size(0), neighbours.options()).unsqueeze(1);
  return at::cat({own, neighbours}, 1);
}

}  // namespace

JointRows find_joint_rows(const at::Tensor& answers, std::int64_t k, double threshold,
                          const at::Tensor& mask) {
  const at::Tensor x = normalise_rows(answers.detach());
  const std::int64_t count = x.size(0);
  const at::Tensor is_self = at::eye(count, x.options()).ne(0);
  at::Tensor cosines = at::mm(x, x.t()).masked_fill(is_self, -2);
  const at::Tensor is_near = cosines.ge(threshold - kRounding);
  at::Tensor is_excluded = is_near;
  if (mask.defined()) {
    const at::Tensor is_out = mask.eq(0).unsqueeze(0);
    cosines = cosines.masked_fill(is_out, -2);
    is_excluded = is_near.logical_or(is_out.logical_and(is_self.logical_not()));
  }
  const std::int64_t width = std::min(k, count - 1);
  const auto [near, index] = cosines.topk(width, 1);
  return {index, near.ge(threshold - kRounding),
          is_excluded.unsqueeze(1).expand({count, 1 + width, count})};
}

at::Tensor joint_prediction(const at::Tensor& tuned, const at::Tensor& options,
                            const at::Tensor& scale, const JointRows& rows, double own_weight) {
  const std::int64_t count = tuned.size(0);
  const at::Tensor who = with_itself(rows.neighbours);  // [B, 1 + K]
  const at::Tensor logits = scale * at::mm(normalise_rows(tuned), normalise_rows(options).t());
  const at::Tensor log_shares = at::log_softmax(logits.index_select(0, who.flatten())
                                                    .view({count, who.size(1), count})
                                                    .masked_fill(rows.is_excluded, kLeftOut),
                                                2);
  const at::Tensor answer = at::arange(count, who.options()).view({count, 1, 1});
  const at::Tensor log_answer =
      log_shares.gather(2, answer.expand({count, who.size(1), 1})).squeeze(2);
  const at::Tensor found = rows.is_neighbour.to(logits.dtype()).sum(1, true);  // [B, 1]
  const at::Tensor own =
      at::where(found.gt(0), at::full_like(found, std::log(own_weight)), at::zeros_like(found));
  const at::Tensor each = std::log1p(-own_weight) - found.clamp_min(1).log();
  const at::Tensor others =
      at::where(rows.is_neighbour, each, at::full({}, kLeftOut, each.options()));
  return -at::logsumexp(log_answer + at::cat({own, others}, 1), {1});
}

}  // namespace saferclip
