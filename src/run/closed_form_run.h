// A run with adapter.method: closed_form: the folder, records and checkpoint of an ordinary run,
// after one pass instead of steps.
#pragma once

#include <functional>
#include <string>

#include "run/closed_form.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_start.h"

namespace saferclip {

// Solves, validates and saves the checkpoint of step 1; with a start that has it already, nothing.
// `before_saving` is called when everything is solved.
void run_closed_form(const RunFolder& run, const StartPoint& start, const Session& session,
                     Logger& log, const StopFlag& stop, const std::function<void()>& before_saving);

// What such a run does, for `train --dry-run`.
std::string closed_form_plan(const Session& session, const TrainingData& data);

// "LoRA with rank 16", "closed form ridge, both towers": what of a model a run trains, for people.
std::string method_text(const AdapterOptions& adapter);

}  // namespace saferclip
