// A batch is a pure function of its step and of this process's share, so a resumed run, or one with
// another number of processes, sees the same rows.
#include "run/training_batches.h"

#include <algorithm>

#include "saferclip/core/slices.h"
#include "saferclip/objective/loss_set.h"

namespace saferclip {
namespace {

RowNeeds row_needs(const RunConfig& config) {
  RowNeeds needs = loss_needs(config.objective);
  needs.crops = config.data.augment == Augmentation::kCrop;
  return needs;
}

}  // namespace

std::int64_t rows_in_a_pass(const Session& session) {
  const TrainOptions& train = session.config.train;
  const std::int64_t share = slice_of(train.batch_size, 0, session.processes.size()).size();
  return std::min(share, train.micro_batch_size.value_or(share));
}

LiveReference live_reference(const Session& session, Preparer& preparer, Logger& log) {
  const RowNeeds needs = row_needs(session.config);
  if (!needs.crops || !needs.reference) {
    preparer.release_reference();
    return {};
  }
  log.info("data.augment: the frozen reference stays in memory and embeds the cropped images");
  // One of several processes must not stop alone within a step.
  const StopFlag* stop = session.processes.is_alone() ? preparer.stop() : nullptr;
  return {&preparer.reference(), session.source.preprocessing, rows_in_a_pass(session),
          needs.reference_unsafe_image, stop};
}

TrainingBatches::TrainingBatches(const Session& session, const TrainingData& data,
                                 const Sampler& sampler, const LiveReference& reference)
    : config_(session.config),
      processes_(session.processes),
      data_(data),
      sampler_(sampler),
      reference_(reference),
      source_(data.train, data.targets, data.anchors, row_needs(config_),
              config_.objective.anchors.batch_size,
              static_cast<std::uint64_t>(config_.train.seed)) {}

Batch TrainingBatches::gather(std::int64_t step, HostMemory memory) const {
  BatchSource::Rows rows{step, sampler_.rows_of(step), {}};
  const std::int64_t epoch = sampler_.position_of(step).epoch;
  for (const std::int64_t row : rows.rows) {
    rows.is_redirected.push_back(is_redirected(data_, config_.objective, row, epoch));
  }
  return source_.gather(rows, memory, {processes_.rank(), processes_.size()});
}

Batch TrainingBatches::augment(Batch batch) const {
  if (config_.data.augment != Augmentation::kCrop) return batch;
  Batch cropped = augment_batch(batch, reference_);
  if (processes_.is_alone() || reference_.model == nullptr) return cropped;
  const auto counts = slice_sizes(cropped.total_rows, processes_.size());
  for (at::Tensor* rows : {&cropped.reference.safe_image, &cropped.reference.unsafe_image}) {
    if (rows->defined()) *rows = processes_.gather_rows(*rows, counts);
  }
  return cropped;
}

std::string TrainingBatches::row_name(std::int64_t row) const {
  return data_.train.manifest.rows[static_cast<std::size_t>(row)].id;
}

}  // namespace saferclip
