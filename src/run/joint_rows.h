// The rows that objective.pres_cet_* wants to see in one batch.
#pragma once

#include "saferclip/run/training_data.h"

namespace saferclip {

// Whether a weighted term predicts jointly with neighbors.
bool predicts_jointly(const ObjectiveOptions& objective);

// By the answers that the weighted terms predict, of `data.train` and `data.targets`; null if none
// does. The first of several processes searches for all, so that they have equal batches.
std::shared_ptr<const NeighbourLists> joint_neighbours(const Session& session,
                                                       const TrainingData& data,
                                                       const StopFlag* stop);

// "1,234 of 24,000 rows have neighbors, with which they share batches".
std::string joint_rows_text(const TrainingData& data);

}  // namespace saferclip
