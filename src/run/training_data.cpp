// Joins the caches into the rows of a training: which rows count, what they are redirected to, and
// from which epoch. Curriculum stages are derived here from each target's cosine rather than
// cached, so no cache key depends on them.
#include "saferclip/run/training_data.h"

#include <ATen/ATen.h>

#include "run/joint_rows.h"
#include "saferclip/data/split_source.h"
#include "saferclip/objective/curriculum.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {

TrainingData prepare_training(const Session& session, Preparer& preparer) {
  const ObjectiveOptions& objective = session.config.objective;
  const RowNeeds needs = loss_needs(objective);
  TrainingData data;
  data.train =
      preparer.split(split_source(session.config.data, "train"),
                     {needs.unsafe ? UnsafeHalf::kRequired : UnsafeHalf::kNone, needs.reference});
  if (needs.targets || (needs.reference && objective.curriculum.enabled)) {
    data.targets = preparer.targets(data.train, data.train, objective.targets);
  }
  if (needs.anchor_text || needs.anchor_image) data.anchors = preparer.anchors(objective.anchors);
  data.stages.assign(data.train.manifest.rows.size(), -1);
  const at::Tensor good = at::tensor(data.train.good_rows, at::kLong);
  at::Tensor score = at::zeros({good.size(0)});
  CurriculumOptions curriculum = objective.curriculum;
  curriculum.enabled = curriculum.enabled && data.targets.cosine.defined();
  if (curriculum.enabled) {
    score =
        (curriculum.score == TargetMode::kFixed ? data.targets.fixed_cosine : data.targets.cosine)
            .index_select(0, good);
  }
  const std::vector<int> stages = curriculum_stages(score, curriculum);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    data.stages[static_cast<std::size_t>(data.train.good_rows[i])] = stages[i];
  }
  data.neighbours = joint_neighbours(session, data, preparer.stop());
  return data;
}

bool is_redirected(const TrainingData& data, const ObjectiveOptions& objective, std::int64_t row,
                   std::int64_t epoch) {
  return is_admitted(data.stages[static_cast<std::size_t>(row)], epoch, objective.curriculum);
}

std::vector<std::int64_t> admitted_rows(const TrainingData& data, const ObjectiveOptions& objective,
                                        std::int64_t epoch) {
  if (objective.curriculum.preserve_all) return data.train.good_rows;
  std::vector<std::int64_t> rows;
  for (const std::int64_t row : data.train.good_rows) {
    if (is_redirected(data, objective, row, epoch)) rows.push_back(row);
  }
  return rows;
}

Sampler make_sampler(const TrainingData& data, const RunConfig& config) {
  const SamplerPlan plan{config.train.batch_size, config.train.drop_last,
                         static_cast<std::uint64_t>(config.train.seed)};
  const auto admitted = [&data, objective = config.objective](std::int64_t epoch) {
    return admitted_rows(data, objective, epoch);
  };
  return {plan, admitted, data.neighbours};
}

}  // namespace saferclip
