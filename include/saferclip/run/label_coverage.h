// Which terms of objective shield_clip the labels of the training rows leave without rows.
#pragma once

#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

// A term and why no batch of these rows could train it.
struct UntrainedTerm {
  std::string name;
  std::string reason;
};

// The weighted terms that lack rows in the manifest as a whole, before any batch is made; empty if
// it has no labels.
std::vector<UntrainedTerm> terms_without_labels(const ObjectiveOptions& objective,
                                                const Manifest& manifest);

// One sentence per part of a weighted term that no batch of the run trains; empty for objectives
// without labels.
std::vector<std::string> label_problems(const RunConfig& config, const TrainingData& data,
                                        const Sampler& sampler);

// Throws DataError, naming every term, if the manifest has labels and a weighted term trains in no
// batch. Without any label all of the unsafe half counts as unsafe, which is an ablation of the
// method and only worth a warning.
void require_label_kinds(const RunConfig& config, const TrainingData& data, const Sampler& sampler);

}  // namespace saferclip
