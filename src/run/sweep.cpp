// A sweep is a list of ordinary `train` and `evaluate` commands, so whatever interrupts it, running
// it again continues: a run without finished.json is trained with --resume auto, which resumes or,
// if the run was complete after all, has nothing to do. finished.json names the configuration and
// the step, so that a changed configuration or a run started over is not taken for finished.
#include "saferclip/run/sweep.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "run/child_process.h"
#include "saferclip/config/yaml_text.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/compare_runs.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostRuns = 10'000;
constexpr std::size_t kMostOfValue = 40;  // letters of a value in a name
constexpr std::size_t kMostOfName = 200;  // of the 255 that a file system allows
constexpr std::size_t kMostProblems = 20;
constexpr const char* kSweptSeed = "train.seed";
constexpr const char* kFinished = "finished.json";

struct SweptKey {
  std::string key;
  std::vector<std::string> values;
};

std::string short_hash(const std::string& text) { return sha256_hex(text).substr(0, 4); }

std::vector<SweptKey> swept_keys(const SweepRequest& request) {
  std::vector<SweptKey> keys;
  for (const std::string& setting : request.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw ConfigError(cat("--set ", setting, ": expected KEY=VALUE,VALUE,…"));
    }
    const std::string key = setting.substr(0, equals);
    keys.push_back({key, swept_values("--set " + setting, setting.substr(equals + 1))});
  }
  if (!request.seeds.empty()) {
    keys.push_back({kSweptSeed, {}});
    for (const std::int64_t seed : request.seeds) keys.back().values.push_back(cat(seed));
  }
  std::set<std::string> seen;
  for (const SweptKey& key : keys) {
    if (!seen.insert(key.key).second) {
      throw ConfigError(cat(key.key, ": is set twice; give all its values in one --set",
                            key.key == kSweptSeed ? " or in --seeds" : ""));
    }
    if (std::set(key.values.begin(), key.values.end()).size() < key.values.size()) {
      throw ConfigError(cat(key.key, ": a value is given twice: ", join(key.values, ", ")));
    }
    if ((key.key == "run.name" || key.key == "run.dir") && key.values.size() > 1) {
      throw ConfigError(cat(key.key,
                            ": has one value in a sweep; each run's folder is named "
                            "after run.name and the values that vary"));
    }
  }
  return keys;
}

// A value as part of a folder's name. A value that had to change gets a mark of its own, because
// two of them may look alike.
std::string named_value(const std::string& value) {
  std::string name;
  for (const char letter : value) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
                          std::string_view("._+-").find(letter) != std::string_view::npos;
    if (is_plain) {
      name += letter;
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  name = name.substr(0, kMostOfValue);
  if (name.ends_with('_')) name.pop_back();
  return name == value ? name : cat(name, "~", short_hash(value));
}

// Whether a YAML scalar of these letters is text without quotes: nothing but text has such an "=".
bool is_plain_text(const std::string& name) {
  return std::isalpha(static_cast<unsigned char>(name.front())) != 0 &&
         name.find('=') != std::string::npos &&
         std::all_of(name.begin(), name.end(), [](unsigned char letter) {
           return std::isalnum(letter) != 0 ||
                  std::string_view("._+-=,~").find(static_cast<char>(letter)) !=
                      std::string_view::npos;
         });
}

// The last word of a key, or all of it if another key ends alike.
std::string named_key(const std::string& key, const std::vector<SweptKey>& keys) {
  const std::string last = key.substr(key.rfind('.') + 1);
  const auto count = std::count_if(keys.begin(), keys.end(), [&](const SweptKey& other) {
    return other.key.substr(other.key.rfind('.') + 1) == last;
  });
  return count > 1 ? key : last;
}

// Calls `take` with the value of every key, for each combination.
void for_each_combination(const std::vector<SweptKey>& keys,
                          const std::function<void(const std::vector<std::string>&)>& take) {
  std::vector<std::size_t> places(keys.size(), 0);
  for (;;) {
    std::vector<std::string> values;
    for (std::size_t i = 0; i < keys.size(); ++i) values.push_back(keys[i].values[places[i]]);
    take(values);
    std::size_t i = keys.size();
    while (i > 0 && ++places[i - 1] == keys[i - 1].values.size()) places[--i] = 0;
    if (i == 0) return;
  }
}

void require_possible(const std::vector<SweptKey>& keys) {
  std::size_t count = 1;
  for (const SweptKey& key : keys) {
    count *= key.values.size();
    if (count > kMostRuns) {
      throw ConfigError(cat("the sweep has more than ", kMostRuns, " runs; give fewer values"));
    }
  }
}

// What finished.json says of a run that was trained as it is configured now.
OrderedJson finished_record(const SweptRun& run, std::int64_t step) {
  return {{"step", step}, {"config", sha256_hex(dump_run_config(run.config))}};
}

std::optional<std::int64_t> latest_step(const SweptRun& run, Logger& log) {
  return CheckpointStore(run.folder, log).pointer("latest");
}

bool is_finished(const SweptRun& run, Logger& log) {
  const fs::path file = run.folder / kFinished;
  const auto step = latest_step(run, log);
  return step && is_file(file) &&
         OrderedJson::parse(read_file(file), nullptr, false) == finished_record(run, *step);
}

void record_finished(const SweptRun& run, Logger& log) {
  const auto step = latest_step(run, log);
  if (!step) return;
  write_file_atomically(run.folder / kFinished, finished_record(run, *step).dump(2) + "\n");
}

std::string stopped_text(const SweptRun& run) {
  return cat("sweep stopped at ", run.name,
             "; the same command continues it, finished runs are kept");
}

// Runs one command and returns its exit code. One that a signal stopped ends the sweep.
int run_command(const std::vector<std::string>& words, const SweptRun& run, const StopFlag& stop,
                ChildOutput output) {
  const int code = run_this_program(words, stop, output);
  const bool is_stopped = code == 128 + SIGINT || code == 128 + SIGTERM;
  if (stop.exit_code() == 0 && !is_stopped) return code;
  throw Interrupted(stopped_text(run), code == 0 ? stop.exit_code() : code);
}

}  // namespace

std::vector<std::string> swept_values(const std::string& place, const std::string& text) {
  std::vector<std::string> values{""};
  std::string open;  // closing marks that are waited for
  for (const char letter : text) {
    const bool is_quoted = !open.empty() && (open.back() == '"' || open.back() == '\'');
    const bool begins = trimmed(values.back()).empty() || !open.empty();
    if (letter == ',' && open.empty()) {
      values.emplace_back();
      continue;
    }
    if (!open.empty() && letter == open.back()) {
      open.pop_back();
    } else if (!is_quoted && (letter == '[' || letter == '{') && begins) {
      open += letter == '[' ? ']' : '}';
    } else if (!is_quoted && (letter == '"' || letter == '\'') && begins) {
      open += letter;
    }
    values.back() += letter;
  }
  if (!open.empty()) throw ConfigError(cat(place, ": misses ", std::string(1, open.back())));
  for (std::string& value : values) {
    value = trimmed(value);
    if (value.empty()) {
      throw ConfigError(cat(place,
                            ": a value is empty; write '' for an empty text, and quotes "
                            "around a text with a comma"));
    }
  }
  return values;
}

std::vector<SweptRun> plan_sweep(const SweepRequest& request) {
  const std::vector<SweptKey> keys = swept_keys(request);
  require_possible(keys);
  std::vector<SweptRun> runs;
  std::vector<std::string> problems;
  for_each_combination(keys, [&](const std::vector<std::string>& values) {
    SweptRun run;
    std::string suffix;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      run.overrides.push_back(keys[i].key + "=" + values[i]);
      if (keys[i].values.size() < 2) continue;
      suffix += cat(",", named_key(keys[i].key, keys), "=", named_value(values[i]));
    }
    ReadConfig read = read_config_for_check(request.file, run.overrides);
    for (const std::string& problem : read.problems) {
      if (std::find(problems.begin(), problems.end(), problem) == problems.end()) {
        problems.push_back(problem);
      }
    }
    run.config = std::move(read.config);
    std::string& name = run.config.run.name;
    name += suffix;
    if (name.size() > kMostOfName) name = cat(name.substr(0, kMostOfName), "~", short_hash(name));
    run.name = name;
    run.folder = fs::path(run.config.run.dir) / name;
    std::erase_if(run.overrides, [](const auto& text) { return text.starts_with("run.name="); });
    run.overrides.push_back("run.name=" + (is_plain_text(name) ? name : yaml_text(name)));
    runs.push_back(std::move(run));
  });
  if (!problems.empty()) {
    throw ConfigError(problems_of(request.file, shortened(problems, kMostProblems)));
  }
  return runs;
}

std::vector<std::vector<std::string>> sweep_commands(const SweepRequest& request,
                                                     const SweptRun& run) {
  std::vector<std::string> train{"train", request.file};
  for (const std::string& setting : run.overrides) {
    train.insert(train.end(), {"--set", setting});
  }
  train.insert(train.end(), {"--resume", "auto"});
  std::vector<std::vector<std::string>> commands{std::move(train)};
  if (!request.split.empty()) {
    commands.push_back({"evaluate", run.folder.string(), "--split", request.split});
  }
  for (auto& command : commands) {
    command.insert(command.end(), request.arguments.begin(), request.arguments.end());
  }
  return commands;
}

std::vector<SweepFailure> run_sweep(const SweepRequest& request, const std::vector<SweptRun>& runs,
                                    Logger& log, const StopFlag& stop) {
  const ChildOutput output = request.keeps_stdout ? ChildOutput::kToStderr : ChildOutput::kAsOurs;
  std::vector<SweepFailure> failures;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const SweptRun& run = runs[i];
    throw_if_stopped(&stop, stopped_text(run));
    const std::string place = cat("run ", i + 1, " of ", runs.size(), ": ", run.name);
    const auto commands = sweep_commands(request, run);
    int code = 0;
    if (is_finished(run, log)) {
      log.info(place + " is finished");
    } else {
      log.info(place);
      code = run_command(commands.front(), run, stop, output);
      if (code == 0) record_finished(run, log);
    }
    if (code == 0 && commands.size() > 1 && !is_evaluated(run.folder, request.split, log)) {
      code = run_command(commands.back(), run, stop, output);
    }
    if (code != 0) failures.push_back({run.name, code});
  }
  return failures;
}

}  // namespace saferclip
