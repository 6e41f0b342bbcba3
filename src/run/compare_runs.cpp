// Compares what runs keep and loads no weights, so runs whose checkpoints are gone can be compared
// too. Documents made during training are left out, as in reports: they measure less. Two runs
// differ in nothing but their seed if their configurations are equal without name and places; of
// inputs, the content that the checkpoint records counts instead of the path.
#include "saferclip/run/compare_runs.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/outcome_file.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSeedKey = "train.seed";

// A run and the documents of its step, by split.
struct FoundRun {
  std::string given;
  RunReference reference;
  std::int64_t step = 0;
  RunConfig config;
  std::map<std::string, OrderedJson> documents;
};

std::optional<std::int64_t> number_of(const std::string& word) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  const bool is_number = error == std::errc() && end == word.data() + word.size() && number >= 0;
  return is_number ? std::optional(number) : std::nullopt;
}

// The newest step of which the run keeps an evaluation.
std::optional<std::int64_t> newest_evaluated(const fs::path& run_folder) {
  std::optional<std::int64_t> newest;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_folder / "evaluations", error)) {
    const std::string name = entry.path().filename().string();
    const std::size_t dot = name.find('.');
    if (!name.starts_with("step_") || dot == std::string::npos) continue;
    const auto step = number_of(name.substr(5, dot - 5));
    if (step && (!newest || *step > *newest)) newest = step;
  }
  return newest;
}

std::int64_t compared_step(const FoundRun& run, const std::string& word, Logger& log) {
  if (!run.reference.checkpoint.empty()) return read_train_state(run.reference.checkpoint).step;
  if (const auto step = number_of(word)) return *step;
  if (word != "latest" && word != "best") {
    throw ConfigError(cat("--checkpoint ", word, ": expected latest, best or a step number"));
  }
  const CheckpointStore store(run.reference.run_folder, log);
  std::optional<std::int64_t> step = store.pointer(word);
  if (!step && word == "latest") step = newest_evaluated(run.reference.run_folder);
  if (step) return *step;
  throw WeightsError(cat(run.given, ": no checkpoint is recorded as ", word,
                         word == "best" ? "; the first validation of a run records it" : ""));
}

FoundRun find_run(const std::string& given, const std::string& checkpoint, Logger& log) {
  FoundRun run{given, resolve_run(given), 0, {}, {}};
  run.config = read_run_config(run.reference.run_folder / "config.yaml", {});
  run.step = compared_step(run, checkpoint, log);
  KeptEvaluations kept = kept_evaluations(run.reference.run_folder, run.config, run.step);
  for (const fs::path& file : kept.others) {
    log.warn(cat(file.string(),
                 ": left out, because it is broken or measures other data than "
                 "the run's own"));
  }
  for (OrderedJson& document : kept.own) {
    const OrderedJson* after = find_path(document, "after");
    if (is_from_training(document) || after == nullptr || !after->is_object()) continue;
    const auto split = document["split"].get<std::string>();
    run.documents[split] = std::move(document);
  }
  return run;
}

std::string evaluate_command(const FoundRun& run, const std::string& checkpoint,
                             const std::string& split) {
  std::string command = "saferclip evaluate " + shell_word(run.given);
  if (run.reference.checkpoint.empty() && checkpoint != "latest") {
    command += " --checkpoint " + shell_word(checkpoint);
  }
  return split.empty() ? command : command + " --split " + shell_word(split);
}

void require_evaluated(const std::vector<FoundRun>& runs, const CompareRequest& request) {
  std::vector<std::string> problems;
  for (const FoundRun& run : runs) {
    const bool is_there =
        request.split.empty() ? !run.documents.empty() : run.documents.contains(request.split);
    if (is_there) continue;
    problems.push_back(cat(run.given, ": step ", run.step,
                           request.split.empty()
                               ? " was not evaluated; run `"
                               : cat(" was not evaluated on split ", request.split, "; run `"),
                           evaluate_command(run, request.checkpoint, request.split), "`"));
  }
  if (problems.empty()) return;
  throw DataError(problems.size() == 1 ? problems.front()
                                       : join_problems("runs without evaluation:", problems));
}

std::vector<std::string> splits_of(const FoundRun& run) {
  std::vector<std::string> names;
  for (const auto& [split, document] : run.documents) names.push_back(split);
  return names;
}

// The only split, if all runs have the same one.
std::string common_split(const std::vector<FoundRun>& runs) {
  std::vector<std::string> common = splits_of(runs.front());
  const FoundRun* other = nullptr;
  for (const FoundRun& run : runs) {
    if (splits_of(run) != splits_of(runs.front())) other = &run;
    std::erase_if(common, [&](const std::string& split) { return !run.documents.contains(split); });
  }
  const std::string choice =
      common.empty() ? "evaluate all runs on one of them (saferclip evaluate RUN --split NAME)"
                     : "choose with --split " + join(common, " or --split ");
  if (other != nullptr) {
    throw ConfigError(cat("the runs were evaluated on different splits: ", runs.front().given,
                          " on ", join(splits_of(runs.front()), ", "), "; ", other->given, " on ",
                          join(splits_of(*other), ", "), "; ", choice));
  }
  if (common.size() > 1) {
    throw ConfigError(
        cat("the runs were evaluated on several splits (", join(common, ", "), "); ", choice));
  }
  return common.front();
}

void require_same_rows(const std::vector<FoundRun>& runs, const std::string& split) {
  const auto content = [&](const FoundRun& run) {
    return run.documents.at(split).value("content", std::string());
  };
  const auto described = [&](const FoundRun& run) {
    const OrderedJson& document = run.documents.at(split);
    return cat(run.given, ": ", document.value("manifest", std::string("?")), ", ",
               document.value("n", std::int64_t{0}), " rows, content ", content(run).substr(0, 8));
  };
  for (const FoundRun& run : runs) {
    if (content(run) == content(runs.front()) && !content(run).empty()) continue;
    throw DataError(cat(
        "split ", split, " is not the same data in all runs: ", described(runs.front()), "; ",
        described(run), "; compare runs that were evaluated on the same rows, images and tokens"));
  }
}

void flatten_json(const OrderedJson& json, const std::string& path, KeyValues& values) {
  if (json.is_object() && !json.empty()) {
    for (const auto& [key, value] : json.items()) {
      flatten_json(value, path.empty() ? key : path + "." + key, values);
    }
    return;
  }
  values.emplace_back(path, json.is_string() ? json.get<std::string>() : json.dump());
}

KeyValues flat_config(const RunConfig& config) {
  KeyValues values;
  flatten_json(OrderedJson::parse(dump_run_config_json(config)), "", values);
  std::erase_if(values, [](const auto& entry) {
    return entry.first.starts_with("run.") || entry.first == "data.cache_dir";
  });
  return values;
}

// All that makes a result besides the seed.
std::string setup_of(const FoundRun& run, const KeyValues& config) {
  std::set<std::string> by_content;
  OrderedJson setup{{"step", run.step}};
  const fs::path checkpoint = run.reference.run_folder / "checkpoints" / step_name(run.step);
  if (is_file(checkpoint / "state.json")) {
    const TrainState state = read_train_state(checkpoint);
    setup["content"] = state.content;
    setup["measure"] = state.measure;
    by_content = {"model.weights", "data.train", "data.validation", "data.image_root"};
  }
  for (const auto& [key, value] : config) {
    if (key != kSeedKey && !by_content.contains(key)) setup["config"][key] = value;
  }
  return setup.dump();
}

std::string short_name(const FoundRun& run) {
  const std::string name = run.reference.run_folder.filename().string();
  return run.reference.checkpoint.empty() ? name : cat(name, "@", run.step);
}

// The folder's name where it tells the runs apart, else what was given.
std::vector<std::string> names_of(const std::vector<FoundRun>& runs) {
  std::map<std::string, int> counts;
  std::set<std::pair<fs::path, std::int64_t>> seen;
  for (const FoundRun& run : runs) {
    ++counts[short_name(run)];
    std::error_code error;
    if (!seen.emplace(fs::weakly_canonical(run.reference.run_folder, error), run.step).second) {
      throw ConfigError(cat(run.given, ": this run and step ", run.step, " is given twice"));
    }
  }
  std::vector<std::string> names;
  for (const FoundRun& run : runs) {
    names.push_back(counts[short_name(run)] == 1 ? short_name(run) : run.given);
  }
  return names;
}

// The tables of `other` that measure the same things as those of `first`: the split's, whose
// content is equal, and sets on which the common reference has the same scores.
std::vector<PlacedTable> same_tables(std::vector<PlacedTable> tables, const ComparedRun& first,
                                     const ComparedRun& other) {
  std::erase_if(tables, [&](const PlacedTable& table) {
    if (table.place.empty()) return false;
    const std::string path = "before." + dotted(table.place);
    const OrderedJson *one = find_path(first.document, path),
                      *two = find_path(other.document, path);
    return one == nullptr || two == nullptr || *one != *two;
  });
  return tables;
}

// Adds paired differences to the first run where the outcomes of single queries are kept. Members
// of a group of seeds get none: their means are shown.
void add_differences_to_first(std::vector<ComparedRun>& compared, const std::vector<FoundRun>& runs,
                              const CompareRequest& request) {
  const std::int64_t resamples = runs.front().config.evaluate.bootstrap;
  if (resamples < 1) return;
  const auto is_alone = [&](const ComparedRun& run) {
    return request.each ||
           std::count_if(compared.begin(), compared.end(),
                         [&](const ComparedRun& other) { return other.setup == run.setup; }) == 1;
  };
  const auto outcomes = [&](std::size_t i) {
    const OrderedJson& document = compared[i].document;
    return read_outcomes(outcomes_path(runs[i].reference.run_folder, runs[i].step,
                                       document["split"].get<std::string>()),
                         document["after"]);
  };
  if (!is_alone(compared.front())) return;
  const auto first = outcomes(0);
  for (std::size_t i = 1; first && i < compared.size(); ++i) {
    if (!is_alone(compared[i])) continue;
    const auto other = outcomes(i);
    if (!other) continue;
    compared[i].against_first = differences_json(
        *first, same_tables(*other, compared.front(), compared[i]), resamples, nullptr);
  }
}

}  // namespace

bool is_evaluated(const fs::path& run_folder, const std::string& split, Logger& log) {
  if (!is_run_path(run_folder)) return false;
  const CheckpointStore store(run_folder, log);
  if (!store.pointer("latest") && !newest_evaluated(run_folder)) return false;
  const FoundRun run = find_run(run_folder.string(), "latest", log);
  return split.empty() ? !run.documents.empty() : run.documents.contains(split);
}

std::vector<ComparedRun> read_compared_runs(const CompareRequest& request, Logger& log) {
  std::vector<FoundRun> runs;
  for (const std::string& given : request.runs) {
    runs.push_back(find_run(given, request.checkpoint, log));
  }
  const std::vector<std::string> names = names_of(runs);
  require_evaluated(runs, request);
  const std::string split = request.split.empty() ? common_split(runs) : request.split;
  require_same_rows(runs, split);
  std::vector<ComparedRun> compared;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    FoundRun& run = runs[i];
    // What later commands must be given to mean this step.
    const bool is_latest = request.checkpoint == "latest" || !run.reference.checkpoint.empty();
    const fs::path step = fs::path("checkpoints") / step_name(run.step);
    ComparedRun entry{names[i],
                      is_latest ? run.given : (fs::path(run.given) / step).string(),
                      run.step,
                      std::move(run.documents.at(split)),
                      flat_config(run.config),
                      "",
                      cat(run.config.train.seed),
                      ""};
    const fs::path metrics = run.reference.run_folder / "metrics.jsonl";
    if (request.with_metrics && is_file(metrics)) entry.metrics = read_file(metrics);
    entry.setup = setup_of(run, entry.config);
    entry.config.emplace_back("step", cat(run.step));
    compared.push_back(std::move(entry));
  }
  add_differences_to_first(compared, runs, request);
  return compared;
}

}  // namespace saferclip
