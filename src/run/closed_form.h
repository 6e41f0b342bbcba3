// Solves for the weights of a run with adapter.method: closed_form.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/named_tensor.h"
#include "saferclip/core/stop.h"
#include "saferclip/eval/document.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

struct ClosedFormParts {
  const Session& session;
  const TrainingData& data;
  Preparer& preparer;
  Logger& log;
  const StopFlag& stop;
};

// The weights by their names, fp32, and what the solution does to the rows, by tower.
struct ClosedFormSolution {
  std::vector<NamedTensor> tensors;
  OrderedJson figures;
};

// Throws DataError when the rows do not determine the solution, and Interrupted.
ClosedFormSolution solve_closed_form(const ClosedFormParts& parts);

// The part of it for adapter.form: uwm, of one tower on pairs `rows` of the manifest.
ClosedFormSolution solve_sign_flips(const ClosedFormParts& parts, Towers tower,
                                    const std::vector<std::int64_t>& rows);

}  // namespace saferclip
