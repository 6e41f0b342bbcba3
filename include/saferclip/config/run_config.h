// The whole configuration of a run: one options struct per component, read from YAML or JSON,
// checked, dumped, documented and compared through the structs' own field lists.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/fields.h"
#include "saferclip/data/data_options.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/io/config_tree.h"
#include "saferclip/model/model_options.h"
#include "saferclip/nn/optimizer_options.h"
#include "saferclip/objective/objective_options.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

struct RunOptions {
  std::string dir = "runs";
  std::string name = "run";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("dir", "Folder that holds the runs.").output_path().may_change_on_resume(),
          self.dir);
    visit(field("name", "Name of the run: its folder inside dir.").may_change_on_resume(),
          self.name);
  }
};

struct RunConfig {
  ModelOptions model;
  DataOptions data;
  ObjectiveOptions objective;
  AdapterOptions adapter;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  TrainOptions train;
  CheckpointOptions checkpoint;
  EvaluateOptions evaluate;
  LogOptions log;
  RunOptions run;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("model", "The model to tune."), self.model);
    visit(field("data", "Manifests, images, caches."), self.data);
    visit(field("objective", "Loss terms, targets, curriculum."), self.objective);
    visit(field("adapter", "What is trained."), self.adapter);
    visit(field("optimizer", "Adam or AdamW."), self.optimizer);
    visit(field("schedule", "Learning rate over steps."), self.schedule);
    visit(field("train", "Length, batch, precision, seed."), self.train);
    visit(field("checkpoint", "What is saved, and when."), self.checkpoint);
    visit(field("evaluate", "What is measured."), self.evaluate);
    visit(field("log", "metrics.jsonl."), self.log);
    visit(field("run", "Where the run is kept."), self.run);
  }
};

// One documented key, for `config keys` and docs/config.md.
struct KeyDoc {
  std::string key;            // "train.batch_size"
  std::string type;           // "integer", "number or null", "list of text", …
  std::string default_value;  // as YAML
  std::string range;          // "> 0", "bf16 | fp32", ""
  std::string meaning;
  bool is_free = false;  // may change on resume
};

// A configuration as far as it can be read, and every problem found.
struct ReadConfig {
  RunConfig config;
  ConfigNode tree;  // as written, with `extends` and overrides merged
  // Lines of the form "a.yaml:12: train.batch_size: …".
  std::vector<std::string> problems;

  // Formats a problem found elsewhere as such a line, at the location of the key or of the deepest
  // part of it that was written.
  std::string problem(const std::string& key, const std::string& text) const;
};
// Throws ConfigError only if the file itself cannot be read.
ReadConfig read_config_for_check(const std::filesystem::path& file,
                                 const std::vector<std::string>& overrides);

// An input path in a configuration.
struct InputPath {
  std::string key;  // "evaluate.zero_shot[0].images"
  std::string path;
  PathKind kind = PathKind::kAny;

  // Why the path cannot be read ("/x/rows.jsonl: no such file"); "" if it can.
  std::string problem() const;
};
std::vector<InputPath> input_paths(const RunConfig& config);

// Reads a configuration file with its `extends` chain and the `--set a.b=value` overrides. Throws
// ConfigError with every problem of every file: file, line, key path, expected and found, and the
// nearest match for an unknown key.
RunConfig read_run_config(const std::filesystem::path& file,
                          const std::vector<std::string>& overrides);

// The message that lists such problems, one per line.
std::string problems_of(const std::filesystem::path& file,
                        const std::vector<std::string>& problems);

// The resolved configuration as YAML; reads back to the same configuration.
std::string dump_run_config(const RunConfig& config);
// The same for publication: each path is cut to its last part.
std::string dump_published_config(const RunConfig& config);
// The resolved configuration as one JSON document.
std::string dump_run_config_json(const RunConfig& config);

// Fields that may not change on resume but differ, as lines "train.batch_size: 48 in the run, 64
// now". Says nothing about the content behind paths; the caller compares content keys. epochs and
// max_steps may change only under a constant schedule.
std::vector<std::string> resume_differences(const RunConfig& saved, const RunConfig& now);

// The keys whose values differ between two configurations, in alphabetical order.
std::vector<std::string> changed_keys(const RunConfig& one, const RunConfig& other);

std::vector<KeyDoc> document_keys();
// The page docs/config.md.
std::string config_keys_markdown();

}  // namespace saferclip
