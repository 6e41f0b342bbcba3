// Describes a training run before its first step.
#pragma once

#include <string>
#include <vector>

#include "saferclip/model/trained.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/memory_plan.h"

namespace saferclip {

MemoryPlan memory_plan(const Session& session, const TrainingData& data, const Sampler& sampler,
                       const std::vector<TrainedParameter>& parameters);

// Model, objective, steps and, on a CPU, predicted peak memory, as text for the terminal.
std::string plan_text(const Session& session, const TrainingData& data, const Sampler& sampler,
                      const std::vector<TrainedParameter>& parameters);

}  // namespace saferclip
