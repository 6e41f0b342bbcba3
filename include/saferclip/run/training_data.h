// The rows of a training, with their targets and curriculum stages.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "saferclip/data/sampler.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct TrainingData {
  SplitData train;
  TargetCache targets;
  AnchorCache anchors;
  std::vector<int> stages;                           // per manifest row; -1 for bad rows
  std::shared_ptr<const NeighbourLists> neighbours;  // null unless rows are predicted jointly
};

// Opens the caches and builds missing ones.
TrainingData prepare_training(const Session& session, Preparer& preparer);

// The manifest rows that an epoch trains on.
std::vector<std::int64_t> admitted_rows(const TrainingData& data, const ObjectiveOptions& objective,
                                        std::int64_t epoch);
// Whether a row's redirection terms are active in an epoch.
bool is_redirected(const TrainingData& data, const ObjectiveOptions& objective, std::int64_t row,
                   std::int64_t epoch);
// The sampler keeps a reference to `data`, which must outlive it.
Sampler make_sampler(const TrainingData& data, const RunConfig& config);

}  // namespace saferclip
