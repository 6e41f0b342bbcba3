// Where the rows of each training step come from: the sampler, the curriculum and the caches.
#pragma once

#include <cstdint>
#include <string>

#include "saferclip/data/batch.h"
#include "saferclip/data/sampler.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/augment.h"
#include "saferclip/train/trainer.h"

namespace saferclip {

// Rows that this process embeds in one pass, at most.
std::int64_t rows_in_a_pass(const Session& session);

// Frees the reference unless it must embed cropped pictures during training.
LiveReference live_reference(const Session& session, Preparer& preparer, Logger& log);

// The sampler's rows, each marked as redirected or not by its curriculum stage; of several
// processes this one's share of them. All references must outlive it.
class TrainingBatches : public StepBatches {
 public:
  TrainingBatches(const Session& session, const TrainingData& data, const Sampler& sampler,
                  const LiveReference& reference);

  Batch gather(std::int64_t step, HostMemory memory) const override;
  // The reference embeds the crops of this process; the losses compare with those of all.
  Batch augment(Batch batch) const override;
  std::string row_name(std::int64_t row) const override;

 private:
  const RunConfig& config_;
  Processes processes_;
  const TrainingData& data_;
  const Sampler& sampler_;
  LiveReference reference_;
  BatchSource source_;
};

}  // namespace saferclip
