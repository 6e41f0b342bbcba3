// The whole configuration of a run: one options struct a component, read from YAML or JSON,
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
    visit(field("dir", "Folder that holds the runs.").output_path().free(), self.dir);
    visit(field("name", "Name of the run: its folder inside dir.").free(), self.name);
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

// A configuration as far as it can be read, and all that is wrong with it.
struct ReadConfig {
  RunConfig config;
  ConfigNode tree;  // what was written, `extends` and overrides put together
  // Lines "a.yaml:12: train.batch_size: …".
  std::vector<std::string> problems;

  // The line of a problem that somebody else has found, at the place where the key, or the deepest
  // part of it that was written, stands.
  std::string problem(const std::string& key, const std::string& text) const;
};
// Throws ConfigError only when the file itself cannot be read.
ReadConfig read_config_for_check(const std::filesystem::path& file,
                                 const std::vector<std::string>& overrides);

// A path to read from that is written in a configuration.
struct InputPath {
  std::string key;  // "evaluate.zero_shot[0].images"
  std::string path;
  PathKind kind = PathKind::kAny;

  // Why nothing can be read there ("/x/rows.jsonl: no such file"); "" when something can.
  std::string problem() const;
};
std::vector<InputPath> input_paths(const RunConfig& config);

// Reads a configuration file with its `extends` chain and the `--set a.b=value` overrides.
// Throws ConfigError with every problem of every file: file, line, key path, expected, found, and
// for an unknown key the nearest match.
RunConfig read_run_config(const std::filesystem::path& file,
                          const std::vector<std::string>& overrides);

// The message of such problems, one a line.
std::string problems_of(const std::filesystem::path& file,
                        const std::vector<std::string>& problems);

// The resolved configuration as YAML; reads back to the same configuration.
std::string dump_run_config(const RunConfig& config);
// The same for others to read: of every path its last part alone.
std::string dump_published_config(const RunConfig& config);
// The resolved configuration as one JSON document.
std::string dump_run_config_json(const RunConfig& config);

// Keys of `fixed` fields that differ, as lines "train.batch_size: 48 in the run, 64 now". Paths to
// the same existing file are equal; the caller compares content keys of data and weights itself.
// epochs and max_steps count as fixed under a schedule that is not constant.
std::vector<std::string> resume_differences(const RunConfig& saved, const RunConfig& now);

std::vector<KeyDoc> document_keys();
// The page docs/config.md.
std::string config_keys_markdown();

}  // namespace saferclip
