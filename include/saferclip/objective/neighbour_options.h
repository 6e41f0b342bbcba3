// Options of the terms that look at a row's neighbors.
#pragma once

#include <array>
#include <cstdint>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

// Preservation of who is near to whom (SAGE, arXiv 2607.00402).
struct LocalOptions {
  std::int64_t neighbours = 15;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("neighbours",
                "Number of rows nearest in the reference, whose cosines pres_local_* correlates "
                "with the reference's; smaller batches take all other rows.")
              .at_least(1),
          self.neighbours);
  }
};

// Whose partner a row and its neighbors predict: a safe row's own, or an unsafe row's target.
enum class JointAnswer { kPartner, kTarget };
constexpr auto enum_words(JointAnswer) {
  return std::to_array<EnumWord<JointAnswer>>(
      {{JointAnswer::kPartner, "partner"}, {JointAnswer::kTarget, "target"}});
}

// Prediction of an answer jointly with its neighbors (CET, arXiv 2306.10790).
struct JointOptions {
  JointAnswer over = JointAnswer::kPartner;
  std::int64_t neighbours = 5;
  double own_weight = 0.9;
  double threshold = 0.9;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("over",
                "What pres_cet_* predict: partner: the frozen partner of a safe row; target: the "
                "frozen target of an unsafe row, jointly with rows of the same target."),
          self.over);
    visit(field("neighbours", "Most rows that predict an answer beside its own row.").at_least(1),
          self.neighbours);
    visit(field("own_weight", "Weight of the row's own prediction in the joint one.")
              .above(0)
              .below(1),
          self.own_weight);
    visit(field("threshold",
                "Least cosine between the frozen partners of two rows that makes them neighbors.")
              .above(0)
              .at_most(1),
          self.threshold);
  }
};

}  // namespace saferclip
