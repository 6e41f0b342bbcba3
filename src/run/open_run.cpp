// Reopens a run from the config.yaml in its folder. The base weights are checked twice: they must
// exist before anything is loaded, and their hash must be the one the checkpoint recorded. Without
// the second check an adapter would merge into any base of the same shape.
#include "saferclip/run/open_run.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/lorentz.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;

void require_base(const RunConfig& config, const fs::path& run_folder) {
  std::vector<std::string> gone;
  std::error_code error;
  for (const auto& [key, path] : {std::pair("model.weights", config.model.weights),
                                  std::pair("model.init", config.model.init),
                                  std::pair("model.adapter", config.model.adapter),
                                  std::pair("model.architecture", config.model.architecture)}) {
    if (path.empty() || fs::exists(path, error)) continue;
    gone.push_back(
        cat(key, ": ", path, " does not exist; if it has moved, add --set ", key, "=NEW_PATH"));
  }
  if (gone.empty()) return;
  throw WeightsError(
      join_problems(cat(run_folder.string(), ": files this run started from are missing:"), gone));
}

Session open_run(const fs::path& run_folder, const std::vector<std::string>& overrides,
                 const ComputeOptions& compute, Logger& log) {
  RunConfig config = read_run_config(run_folder / "config.yaml", overrides);
  require_base(config, run_folder);
  return open_session(std::move(config), compute, log);
}

std::vector<NamedTensor> read_trained(const Session& session, const fs::path& checkpoint) {
  const TrainState state = read_train_state(checkpoint);
  const auto base = state.content.find("weights");
  if (base != state.content.end() && base->second != session.source.hash()) {
    throw WeightsError(cat(session.source.path.string(), ": these are not the weights that ",
                           checkpoint.string(), " was trained on: SHA-256 is ",
                           session.source.hash(), ", expected ", base->second,
                           "; give the right ones with --set model.weights=PATH"));
  }
  return read_trained_weights(checkpoint);
}

void add_lorentz_scalars(ClipModel& model, const ObjectiveOptions& objective) {
  if (!uses_lorentz(objective)) return;
  model.lorentz = initial_lorentz_scalars(model.geometry.embed_dim);
  LorentzScalars::for_each(model.lorentz, [&](const char* /*name*/, at::Tensor& value) {
    value = value.to(model.logit_scale.device());
  });
}

void say_if_cosine_is_untrained(const ObjectiveOptions& objective, Logger& log) {
  if (!uses_lorentz(objective)) return;
  log.warn(
      "objective hysac tuned this run for Lorentz distances; this command uses L2-normalized "
      "embeddings and cosines, which it did not train (`evaluate` ranks by distance)");
}

SplitSource bounds_source(const DataOptions& data) {
  return split_source(data, data.validation.empty() ? "train" : "validation");
}

ClipModel load_tuned(const Session& session, const std::vector<NamedTensor>& trained,
                     const std::string& where, double strength) {
  ClipModel model = load_clip(session.source, at::kFloat, session.device);
  add_lorentz_scalars(model, session.config.objective);
  apply_trained(model, trained, session.config.model, session.config.adapter, where, strength);
  return model;
}

}  // namespace saferclip
