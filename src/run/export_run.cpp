// Connects a session to the export room: request, model card and weights. Merged exports load the
// whole fp32 model; peft writes the trained tensors alone and needs no model. The result names the
// best step if another one was exported, because `latest`, the default, need not be the best.
#include "saferclip/run/export_run.h"

#include <ATen/ATen.h>

#include "saferclip/core/error.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/export/export.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/hysac_file.h"
#include "saferclip/run/mask_file.h"
#include "saferclip/run/model_card.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace {

ExportRequest make_request(const ExportForm& form) {
  ExportRequest request;
  request.folder = form.out;
  request.dtype = form.dtype == ExportDtype::kFp16   ? at::kHalf
                  : form.dtype == ExportDtype::kBf16 ? at::kBFloat16
                                                     : at::kFloat;
  request.tower = form.tower;
  request.timm_model = form.timm_model;
  return request;
}

CardFacts make_facts(const ExportForm& form) {
  return {{}, 0, form.target, to_string(form.dtype), form.tower, form.strength};
}

WeightsLayout layout_for(ExportTarget target) {
  return target == ExportTarget::kOpenClip ? WeightsLayout::kOpenClip
         : target == ExportTarget::kOpenAi ? WeightsLayout::kOpenAi
                                           : WeightsLayout::kHuggingFace;
}

void export_model(const ExportForm& form, const ExportRequest& request, ClipModel& model,
                  const Session& session, Logger& log) {
  const Progress writing(log, cat("writing ", form.out.string()));
  if (form.target == ExportTarget::kOnnx) {
    export_onnx(request, model, session.source, *session.tokenizer);
    return;
  }
  for (const std::string& note : export_weights(request, layout_for(form.target), model,
                                                session.source, *session.tokenizer)) {
    log.warn(note);
  }
}

// PEFT loads the base folder named in adapter_config.json, and transformers reads that folder's
// model.safetensors, whichever file the run used.
void warn_of_other_base(const WeightsSource& source, Logger& log) {
  const std::filesystem::path usual = source.path / "model.safetensors";
  if (source.layout != WeightsLayout::kHuggingFace || source.files.size() != 1 ||
      source.files.front() == usual || !std::filesystem::exists(usual)) {
    return;
  }
  log.warn(cat("the adapter was tuned on ", source.files.front().string(),
               ", but transformers reads ", usual.string(),
               " from that folder; export a matching base: ", "saferclip export ",
               source.files.front().string(), " --to hf --out BASE"));
}

}  // namespace

void export_base(const Session& session, const ExportForm& form, Logger& log) {
  ExportRequest request = make_request(form);
  request.model_card = model_card(session, make_facts(form));
  ClipModel model = load_clip(session.source);
  export_model(form, request, model, session, log);
}

ExportedRun export_run(const RunReference& run, const std::filesystem::path& checkpoint,
                       const Session& session, const ExportForm& form, Logger& log) {
  const TrainState state = read_train_state(checkpoint);
  const std::vector<NamedTensor> trained = read_trained(session, checkpoint);
  ExportRequest request = make_request(form);
  CardFacts facts = make_facts(form);
  facts.checkpoint = checkpoint;
  facts.step = state.step;
  request.model_card = model_card(session, facts);
  if (uses_lorentz(session.config.objective)) {
    const std::string text = hysac_file_text(session, checkpoint, trained);
    if (lacks_bounds(text)) {
      log.warn(cat(kHysacFile, ": without bounds, because the run has no evaluation of step ",
                   state.step, "; run `saferclip evaluate`, then export again"));
    }
    request.extra_files = {{kHysacFile, text}};
  }
  const AdapterOptions& adapter = session.config.adapter;
  if (adapter.method == AdapterMethod::kMask) {
    request.extra_files.emplace_back(kMasksFile, mask_file_content(trained, adapter, form.tower));
  }
  if (form.target == ExportTarget::kPeft) {
    warn_of_other_base(session.source, log);
    export_peft(request, {trained, session.config.model, session.config.adapter, form.strength},
                session.source);
  } else {
    ClipModel model = load_tuned(session, trained, checkpoint.string(), form.strength);
    export_model(form, request, model, session, log);
  }
  ExportedRun exported{state.step, {}, session.config.checkpoint.best_metric};
  const auto best = CheckpointStore(run.run_folder, log).pointer("best");
  if (best && *best != state.step) exported.better_step = *best;
  return exported;
}

}  // namespace saferclip
