// metrics.jsonl: one JSON object per line, each step once, even after kills and resumes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/atomic_files.h"
#include "saferclip/io/event_file.h"

namespace saferclip {

// The numbers of one training step as logged. Terms are unweighted.
struct StepLine {
  std::int64_t step = 0;   // from 1
  std::int64_t epoch = 0;  // from 0
  double lr = 0;
  double loss = 0;
  double grad_norm = 0;  // written as null if it overflowed in a skipped step
  double quadruplets_per_s = 0;
  std::vector<std::pair<std::string, double>> terms;
  std::uint64_t device_peak_bytes = 0;    // of a GPU's memory so far; 0: a CPU
  std::optional<double> loss_scale;       // after the step, in fp16
  bool is_skipped = false;                // gradients overflowed in fp16: nothing was updated
  int stop_code = 0;                      // of the first process that was asked to stop
  bool asks_save = false;                 // the first process wants a checkpoint after this step
  std::optional<double> waited_s;         // for other processes, if there are several
  std::optional<double> masked_fraction;  // of the weights with masks, off after the step
};

// Whether the evaluation of the step after which a run resumes is in the log, or runs again.
enum class LastEvaluation { kDone, kRunsAgain };

class MetricsLog {
 public:
  // Opens the log of a run that resumes after `step`. Removes later lines, a line cut short by a
  // crash and, if it runs again, the evaluation of `step`.
  // Throws Error when the file cannot be written, as do all members below. Without a file (one of
  // several processes writes) nothing is written.
  // Lines may name images, as paths from the log's folder (`images`: name → path of a PNG file).
  // `event_folder`: where an event file of TensorBoard's repeats all lines, those before the resume
  // included, and replaces earlier event files; empty: none is written.
  MetricsLog(const std::filesystem::path& file, std::int64_t step,
             LastEvaluation last = LastEvaluation::kDone,
             const std::filesystem::path& event_folder = {});

  void write(const StepLine& line);
  // `body` is a JSON object; "kind": "evaluation" and the step are prepended.
  void write_evaluation(std::int64_t step, std::int64_t epoch, const std::string& body);
  // The same with "kind": "closed_form": what was solved for instead of trained.
  void write_solution(std::int64_t step, const nlohmann::ordered_json& body);
  // The same with "kind": "masks": the share of the weights that are off after `step`, of all with
  // masks and tensor by tensor.
  void write_masks(std::int64_t step, double fraction,
                   const std::vector<std::pair<std::string, double>>& tensors);
  // Flushes the lines so far to disk; another thread may write meanwhile.
  void sync();

 private:
  void append(const nlohmann::ordered_json& line);

  std::filesystem::path folder_;  // of the log
  std::optional<FileWriter> out_;
  std::optional<EventFile> events_;
};

}  // namespace saferclip
