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

// Predicted peak of the memory of the plan's device: of the process on a CPU.
std::int64_t predicted_bytes(const MemoryPlan& plan);
// A sentence with the cure if a CUDA device has not enough memory free for the plan; what this
// process holds already counts as free.
std::vector<std::string> memory_problems(const MemoryPlan& plan, at::Device device);

// Model, objective, steps and predicted peak memory, as text for the terminal.
std::string plan_text(const Session& session, const TrainingData& data, const Sampler& sampler,
                      const std::vector<TrainedParameter>& parameters);

}  // namespace saferclip
