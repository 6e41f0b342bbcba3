#include "saferclip/run/session.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/precision.h"
#include "saferclip/objective/curriculum.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;

LogLevel parse_log_level(const std::string& word) {
  static const std::map<std::string, LogLevel> kLevels{{"debug", LogLevel::kDebug},
                                                       {"info", LogLevel::kInfo},
                                                       {"warn", LogLevel::kWarn},
                                                       {"error", LogLevel::kError},
                                                       {"off", LogLevel::kOff}};
  const auto found = kLevels.find(word);
  if (found == kLevels.end()) {
    throw ConfigError(cat("--log-level ", word, ": expected debug, info, warn, error or off"));
  }
  return found->second;
}

fs::path clip_vocabulary_path() {
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {beside / "data", beside.parent_path() / "share" / "saferclip"}) {
    fs::path file = folder / "bpe_simple_vocab_16e6.txt.gz";
    if (fs::exists(file)) return file;
  }
  throw DataError(
      cat("CLIP's vocabulary is not at ", (beside / "data").string(),
          "; run scripts/fetch_vocabulary with that folder, or set model.tokenizer to a "
          "folder with vocab.json and merges.txt"));
}

namespace {

// Throws ConfigError when a tokenizer called `name` is not the model's.
void require_fitting(const TextSpec& spec, const WeightsSource& source, const std::string& name) {
  const bool is_siglip = source.text.is_padded;
  if (spec.is_padded != is_siglip) {
    throw ConfigError(cat("model.tokenizer: ", name, " is a tokenizer of ",
                          spec.is_padded ? "SigLIP" : "CLIP", ", the model is a ",
                          is_siglip ? "SigLIP" : "CLIP",
                          "; set model.tokenizer to the model's own"));
  }
  // The table may have rows that no entry uses.
  if (spec.vocab_size > source.text.vocab_size) {
    throw ConfigError(cat("model.tokenizer: ", name, " has ", spec.vocab_size,
                          " entries, the model ", source.text.vocab_size,
                          "; set model.tokenizer to the folder of the model's own tokenizer"));
  }
  if (is_siglip) return;
  const std::int64_t pooled = source.geometry.pooled_id;
  if (pooled >= 0 && spec.eos_id != pooled) {
    throw ConfigError(cat("model.tokenizer: ", name, " ends captions with id ", spec.eos_id,
                          ", the model pools the place of id ", pooled,
                          " (eos_token_id of its configuration); correct one of them"));
  }
  if (pooled < 0 && std::max(spec.pad_id, spec.bos_id) > spec.eos_id) {
    throw ConfigError(cat("model.tokenizer: ", name, " has pad_token ", spec.pad_id,
                          " and bos_token ", spec.bos_id, " around eos_token ", spec.eos_id,
                          ", but the model pools the largest id of a caption; write the end mark's "
                          "id as eos_token_id into the model's configuration"));
  }
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const ModelOptions& options,
                                          const WeightsSource& source) {
  static const std::map<std::string, TextCleaning> kCleaning{
      {"openai", TextCleaning::kOpenAi},
      {"hf", TextCleaning::kHuggingFace},
      {"siglip", TextCleaning::kSiglip},
      {"whitespace", TextCleaning::kWhitespace},
      {"canonicalize", TextCleaning::kCanonicalize},
      {"none", TextCleaning::kNone}};
  const TextCleaning cleaning =
      options.text_clean == "auto" ? source.text.cleaning : kCleaning.at(options.text_clean);
  const std::int64_t context = source.text.context_length;
  fs::path place;
  if (options.tokenizer == "auto") {
    place = source.tokenizer_folder;
  } else if (options.tokenizer != "clip") {
    place = options.tokenizer;
  }
  const std::string name = place.empty() ? "CLIP's vocabulary" : place.string();
  std::unique_ptr<Tokenizer> tokenizer;
  if (place.empty()) {
    if (source.text.is_padded) {
      throw ConfigError(cat("model.tokenizer: ", source.path.string(),
                            " is a SigLIP without tokenizer files beside it; set model.tokenizer "
                            "to its SentencePiece model (spiece.model, tokenizer.model)"));
    }
    tokenizer = load_clip_tokenizer(clip_vocabulary_path(), context, cleaning);
  } else {
    tokenizer = load_tokenizer(place, context, cleaning);
  }
  require_fitting(tokenizer->spec(), source, name);
  return tokenizer;
}

Session open_session(RunConfig config, const GlobalOptions& globals, Logger& log) {
  Session session;
  session.device = parse_device(globals.device);
  if (globals.threads > 0) at::set_num_threads(globals.threads);
  if (config.train.deterministic) at::globalContext().setDeterministicAlgorithms(true, false);
  session.source = open_weights(config.model, static_cast<std::uint64_t>(config.train.seed));
  for (const std::string& note : session.source.notes) log.warn(note);
  session.tokenizer = open_tokenizer(config.model, session.source);
  const TextSpec& spec = session.tokenizer->spec();
  session.source.text.bos_id = spec.bos_id;
  session.source.text.eos_id = spec.eos_id;
  session.source.text.pad_id = spec.pad_id;
  session.config = std::move(config);
  // Refused now, not after hours of preparing.
  reference_logit_bias(session.config.objective, session.source);
  return session;
}

bool is_run_path(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "state.json", error) ||
         fs::is_regular_file(path / "config.yaml", error);
}

RunReference resolve_run(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path clean = absolute.has_filename() ? absolute : absolute.parent_path();
  if (fs::is_regular_file(clean / "state.json")) {
    return {clean.parent_path().parent_path(), clean};
  }
  if (fs::is_regular_file(clean / "config.yaml")) return {clean, {}};
  throw WeightsError(
      cat(path.string(), ": neither a run folder (config.yaml) nor a checkpoint (state.json)"));
}

namespace {

std::string no_best_checkpoint(const fs::path& run_folder) {
  const fs::path file = run_folder / "checkpoints" / "best";
  std::error_code error;
  if (!fs::exists(file, error)) {
    return cat(file.string(),
               ": there is no such file; it is written by the first validation of a run");
  }
  return cat(file.string(),
             ": is damaged, expected a folder's name like step_00000010; `saferclip train CONFIG "
             "--resume auto` "
             "writes it anew, or give --checkpoint a step");
}

}  // namespace

fs::path choose_checkpoint(const RunReference& run, const std::string& word, Logger& log) {
  const CheckpointStore store(run.run_folder, log);
  fs::path folder = run.checkpoint;
  if (folder.empty() && word == "latest") {
    const auto step = store.newest_good();
    if (!step) throw WeightsError(cat(run.run_folder.string(), ": holds no good checkpoint"));
    return store.folder(*step);
  }
  if (folder.empty() && word == "best") {
    const auto step = store.pointer("best");
    if (!step) throw WeightsError(no_best_checkpoint(run.run_folder));
    folder = store.folder(*step);
  } else if (folder.empty()) {
    if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos ||
        word.size() > 12) {
      throw ConfigError(cat("--checkpoint ", word, ": expected latest, best or a step"));
    }
    folder = store.folder(std::stoll(word));
  }
  const std::string problem = checkpoint_problem(folder);
  if (!problem.empty()) {
    std::vector<std::string> there;
    for (const std::int64_t step : store.steps()) there.push_back(std::to_string(step));
    throw WeightsError(
        cat(folder.string(), ": ", problem, "; steps there: ", join(shortened(there, 12), ", ")));
  }
  return folder;
}

ClipModel load_tuned(const Session& session, const std::vector<NamedTensor>& trained,
                     const std::string& where, double strength) {
  ClipModel model = load_clip(session.source, at::kFloat, session.device);
  apply_trained(model, trained, session.config.model, session.config.adapter, where, strength);
  return model;
}

TrainingData prepare_training(const Session& session, Preparer& preparer) {
  const ObjectiveOptions& objective = session.config.objective;
  const LossNeeds needs = loss_needs(objective);
  TrainingData data;
  data.train = preparer.split(split_source(session.config.data, "train"),
                              needs.unsafe_text ? UnsafeHalf::kRequired : UnsafeHalf::kNone,
                              needs.reference);
  if (needs.targets || (needs.reference && objective.curriculum.enabled)) {
    data.targets = preparer.targets(data.train, data.train, objective.targets);
  }
  if (needs.anchor_text || needs.anchor_image) data.anchors = preparer.anchors(objective.anchors);
  data.stages.assign(data.train.manifest.rows.size(), -1);
  const at::Tensor good = at::tensor(data.train.good_rows, at::kLong);
  at::Tensor score = at::zeros({good.size(0)});
  CurriculumOptions curriculum = objective.curriculum;
  curriculum.enabled = curriculum.enabled && data.targets.cosine.defined();
  if (curriculum.enabled) {
    score = (curriculum.score == "fixed" ? data.targets.fixed_cosine : data.targets.cosine)
                .index_select(0, good);
  }
  const std::vector<int> stages = curriculum_stages(score, curriculum);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    data.stages[static_cast<std::size_t>(data.train.good_rows[i])] = stages[i];
  }
  return data;
}

bool is_redirected(const TrainingData& data, const ObjectiveOptions& objective, std::int64_t row,
                   std::int64_t epoch) {
  return is_admitted(data.stages[static_cast<std::size_t>(row)], epoch, objective.curriculum);
}

std::vector<std::int64_t> admitted_rows(const TrainingData& data, const ObjectiveOptions& objective,
                                        std::int64_t epoch) {
  if (objective.curriculum.preserve_all) return data.train.good_rows;
  std::vector<std::int64_t> rows;
  for (const std::int64_t row : data.train.good_rows) {
    if (is_redirected(data, objective, row, epoch)) rows.push_back(row);
  }
  return rows;
}

Sampler make_sampler(const TrainingData& data, const RunConfig& config) {
  const SamplerPlan plan{config.train.batch_size, config.train.drop_last,
                         static_cast<std::uint64_t>(config.train.seed)};
  return Sampler(plan, [&data, objective = config.objective](std::int64_t epoch) {
    return admitted_rows(data, objective, epoch);
  });
}

double reference_logit_bias(const ObjectiveOptions& objective, const WeightsSource& source) {
  const bool has_own = form_of(source.geometry.family).has_logit_bias;
  if (!needs_logit_bias(objective)) return 0;
  if (uses_model_scale(objective)) {
    if (has_own) return 0;
    throw ConfigError(cat("objective.name: ", objective.name,
                          ": a CLIP has no logit bias to train; use objective clip"));
  }
  if (objective.logit_bias) return *objective.logit_bias;
  if (!has_own) {
    throw ConfigError(
        "objective.logit_bias: auto: a CLIP has none; write one (SigLIP starts from -10), or set "
        "objective.pres_cross.form to infonce");
  }
  return source.tensor("logit_bias").to(at::kDouble).item<double>();
}

double infonce_scale(const ObjectiveOptions& objective, const WeightsSource& source) {
  if (objective.infonce_scale) return *objective.infonce_scale;
  return std::exp(source.tensor("logit_scale").to(at::kDouble).item<double>());
}

std::string precision_on(at::Device device, const std::string& precision) {
  return has_fast_bf16(device) ? precision : "fp32";
}

}  // namespace saferclip
