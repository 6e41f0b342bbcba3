// Neighbors are searched once, before the first step, among the rows whose pictures can be read: by
// the captions' embeddings for pres_cet_img, by the pictures' for pres_cet_txt. Nothing of it is
// cached: it takes as long as the search of targets or less.
#include "run/joint_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/core/text_format.h"
#include "saferclip/objective/row_neighbours.h"

namespace saferclip {
namespace {

bool has_weight(const ObjectiveOptions& objective, const char* term) {
  const auto found = objective.weights.find(term);
  return found != objective.weights.end() && found->second > 0;
}

// A row whose target is in no pool shares it with nobody.
at::Tensor target_groups(const TargetCache& targets, const at::Tensor& good) {
  const at::Tensor index = targets.index.index_select(0, good);
  return at::where(index.ge(0), index, -1 - good);
}

// [N, k] positions among the good rows for each weighted side.
std::vector<at::Tensor> search_neighbours(const ObjectiveOptions& objective,
                                          const TrainingData& data, const at::Tensor& good,
                                          const StopFlag* stop) {
  const JointOptions& o = objective.pres_cet;
  if (o.over == JointAnswer::kTarget) {
    return {rows_of_group(target_groups(data.targets, good), o.neighbours)};
  }
  std::vector<at::Tensor> found;
  const ReferenceCache& reference = data.train.reference;
  for (const auto& [term, answers] : {std::pair("pres_cet_img", reference.safe_text),
                                      std::pair("pres_cet_txt", reference.safe_image)}) {
    if (!has_weight(objective, term)) continue;
    found.push_back(
        rows_above(answers.index_select(0, good).contiguous(), o.neighbours, o.threshold, stop));
  }
  return found;
}

}  // namespace

bool predicts_jointly(const ObjectiveOptions& objective) {
  return has_weight(objective, "pres_cet_txt") || has_weight(objective, "pres_cet_img");
}

std::shared_ptr<const NeighbourLists> joint_neighbours(const Session& session,
                                                       const TrainingData& data,
                                                       const StopFlag* stop) {
  const ObjectiveOptions& objective = session.config.objective;
  if (!predicts_jointly(objective)) return nullptr;
  const std::vector<std::int64_t>& rows = data.train.good_rows;
  const at::Tensor good = at::tensor(rows, at::kLong);
  const bool has_both = objective.pres_cet.over == JointAnswer::kPartner &&
                        has_weight(objective, "pres_cet_txt") &&
                        has_weight(objective, "pres_cet_img");
  at::Tensor found =
      at::full({good.size(0), (has_both ? 2 : 1) * objective.pres_cet.neighbours}, -1, at::kLong);
  if (session.processes.is_first()) {
    const StopFlag* own = session.processes.is_alone() ? stop : nullptr;
    // The nearest of both sides first.
    found.copy_(at::stack(search_neighbours(objective, data, good, own), 2).flatten(1));
  }
  if (!session.processes.is_alone()) session.processes.broadcast_(found);
  auto lists = std::make_shared<NeighbourLists>(data.train.manifest.rows.size());
  const auto* data_of = found.const_data_ptr<std::int64_t>();
  const std::int64_t width = found.size(1);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::int64_t n = 0; n < width; ++n) {
      const std::int64_t other = data_of[static_cast<std::int64_t>(i) * width + n];
      if (other < 0) continue;
      (*lists)[static_cast<std::size_t>(rows[i])].push_back(rows[static_cast<std::size_t>(other)]);
    }
  }
  return lists;
}

std::string joint_rows_text(const TrainingData& data) {
  const auto with =
      std::ranges::count_if(*data.neighbours, [](const auto& list) { return !list.empty(); });
  return cat(with_commas(with), " of ",
             with_commas(static_cast<std::int64_t>(data.train.good_rows.size())),
             " rows have neighbors, with which they share batches");
}

}  // namespace saferclip
