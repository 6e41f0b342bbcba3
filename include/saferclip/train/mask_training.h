// The scores of a run that trains masks (adapter.method: mask): their norm, gradient dropout, and
// how many weights they switch off.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/model/model_options.h"
#include "saferclip/nn/optimizer.h"
#include "saferclip/objective/general_knowledge.h"

namespace saferclip {

class MaskTraining {
 public:
  // Of the scores among `parameters`, which must be at least one tensor.
  MaskTraining(const std::vector<TrainedParameter>& parameters, const AdapterOptions& options,
               const ObjectiveOptions& objective, std::uint64_t seed);

  double norm_weight() const { return options_.norm_weight; }
  // The sum of the scores' norms, one for each tensor, 0-d: the term that norm_weight weights.
  at::Tensor norm() const;

  // Whether the scores' gradients are dropped by chance where those of general_loss() oppose them.
  bool drops_gradients() const { return options_.gradient_dropout.enabled; }
  // Of the safe rows and, if it reads them, of the anchors of a batch or a part of it.
  LossResult general_loss(const LossInputs& inputs, const LossCounts& counts) const;
  bool general_reads_anchors() const { return reads_anchors_; }
  // The term of a step's log; empty if the objective has its terms anyway.
  std::string general_term() const;
  // The scores' gradients, for drop_gradients(); undefined where a tensor has none.
  std::vector<at::Tensor> gradients() const;
  // Drops elements of the scores' gradients, those of the whole step, where `general`, which
  // gradients() gave for general_loss(), opposes them. A function of the seed and the step.
  void drop_gradients(const std::vector<at::Tensor>& general, std::int64_t step) const;

  // The share of the weights with masks that are off, 0-d on the scores' device.
  at::Tensor masked_fraction() const;
  // The same tensor by tensor, by the weight's name; waits for the device.
  std::vector<std::pair<std::string, double>> masked_fractions() const;

 private:
  struct Mask {
    std::string weight;
    at::Tensor scores;
  };
  at::Tensor is_off(const Mask& mask) const;

  AdapterOptions options_;
  ObjectiveOptions preservation_;
  bool reads_anchors_ = false;
  std::uint64_t seed_ = 0;
  std::vector<Mask> masks_;
  double weights_ = 0;  // their number
};

}  // namespace saferclip
