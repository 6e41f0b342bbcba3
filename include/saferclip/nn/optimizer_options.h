// Options of Adam and AdamW.
#pragma once

#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

enum class OptimizerName { kAdam, kAdamW };
constexpr auto enum_words(OptimizerName) {
  return std::to_array<EnumWord<OptimizerName>>(
      {{OptimizerName::kAdam, "adam"}, {OptimizerName::kAdamW, "adamw"}});
}

struct OptimizerOptions {
  OptimizerName name = OptimizerName::kAdam;
  double lr = 1e-4;
  std::vector<double> betas{0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name",
                "adam (adds weight decay to the gradient) or adamw (decoupled weight decay)."),
          self.name);
    visit(field("lr", "Peak learning rate.").at_least(0), self.lr);
    visit(field("betas", "Decay rates of the first and second moment estimates.")
              .at_least(0)
              .below(1),
          self.betas);
    visit(field("eps", "Added to the square root of the second moment.").at_least(0), self.eps);
    visit(field("weight_decay",
                "Weight decay of tensors with two or more dimensions, except token, position and "
                "class embeddings.")
              .at_least(0),
          self.weight_decay);
  }
};

}  // namespace saferclip
