// Renders the model card, which claims nothing the run does not know: metrics appear only if the
// run evaluated this very step on its own data, terms that never train are named, and the license
// is left to the publisher. The configuration is printed without the folders of its paths.
#include "saferclip/run/model_card.h"

#include <nlohmann/json.hpp>

#include "run/closed_form_run.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/scores_table.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/hysac_file.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/run_folder.h"

namespace saferclip {
namespace fs = std::filesystem;

std::string loading_library(ExportTarget target) {
  switch (target) {
    case ExportTarget::kHuggingFace:
      return "transformers";
    case ExportTarget::kOpenClip:
      return "open_clip";
    case ExportTarget::kOpenAi:
      return "torch";
    case ExportTarget::kPeft:
      return "peft";
    case ExportTarget::kOnnx:
      return "onnxruntime";
  }
  return "";
}

std::string loading_call(ExportTarget target, Towers tower, const FamilyForm& form,
                         const std::string& path) {
  std::string text;
  for (const char letter : path) {
    if (letter == '\'' || letter == '\\') text += '\\';
    text += letter;
  }
  if (target == ExportTarget::kOpenClip) {
    return cat("open_clip.create_model_and_transforms('local-dir:", text, "')");
  }
  if (target == ExportTarget::kOpenAi) {
    return cat("torch.load('", text, "/model.pt', weights_only=True)");
  }
  if (target == ExportTarget::kOnnx) {
    const char* file = tower == Towers::kText ? kOnnxTextFile : kOnnxVisionFile;
    return cat("onnxruntime.InferenceSession('", text, "/", file, "')");
  }
  const std::string whole = cat(form.class_name, "Model");
  if (target == ExportTarget::kPeft) {
    return cat("PeftModel.from_pretrained(", whole, ".from_pretrained(BASE), '", text, "')");
  }
  const std::string name = tower == Towers::kBoth
                               ? whole
                               : cat(form.class_name, tower == Towers::kText ? "Text" : "Vision",
                                     "Model", form.has_vision_projection ? "WithProjection" : "");
  return cat(name, ".from_pretrained('", text, "')");
}

namespace {

std::string onnx_loading(const CardFacts& facts, const FamilyForm& form) {
  std::string text = "import onnxruntime\n";
  const auto add = [&](Towers tower, const char* session, const char* run) {
    if (facts.tower != Towers::kBoth && facts.tower != tower) return;
    text += cat(session, " = ", loading_call(facts.target, tower, form, "PATH"), "\n", run, "\n");
  };
  add(Towers::kText, "text",
      "text_embeds, = text.run(None, {'input_ids': input_ids})  # int64 [batch, tokens]");
  add(Towers::kVision, "vision",
      "image_embeds, = vision.run(None, {'pixel_values': pixel_values})  # float32 [batch, 3, "
      "height, width], preprocessed");
  return text + "# The embeddings are not L2-normalized.\n" +
         (form.pools_last_token ? "# Pad captions to the context length.\n" : "");
}

std::string loading(const CardFacts& facts, const FamilyForm& form) {
  const std::string call = loading_call(facts.target, facts.tower, form, "PATH");
  if (facts.target == ExportTarget::kOnnx) return onnx_loading(facts, form);
  if (facts.target == ExportTarget::kOpenClip) {
    return "import open_clip\n"
           "model, _, preprocess = " +
           call + "\ntokenizer = open_clip.get_tokenizer('local-dir:PATH')\n";
  }
  if (facts.target == ExportTarget::kOpenAi) {
    return "import torch\nstate_dict = " + call + "\n";
  }
  const std::string whole = cat(form.class_name, "Model");
  if (facts.target == ExportTarget::kPeft) {
    return cat("from peft import PeftModel\nfrom transformers import ", whole, "\nmodel = ", call,
               "\n");
  }
  if (facts.tower != Towers::kBoth) {
    return cat("from transformers import ", call.substr(0, call.find('.')), "\nmodel = ", call,
               "\n");
  }
  return cat("from transformers import AutoProcessor, ", whole, "\nmodel = ", call,
             "\nprocessor = AutoProcessor.from_pretrained('PATH')\n",
             form.pools_last_token
                 ? "# Pad captions to the context length: padding='max_length', truncation=True\n"
                 : "");
}

std::string metrics(const CardFacts& facts) {
  if (facts.checkpoint.empty()) return "";
  const fs::path run = facts.checkpoint.parent_path().parent_path();
  const std::vector<OrderedJson> own =
      kept_evaluations(run, read_run_config(run / "config.yaml", {}), facts.step).own;
  if (own.empty()) {
    return cat("None: the run has no evaluation of step ", facts.step,
               ". Run `saferclip evaluate`, then export again.\n");
  }
  const std::string note =
      facts.strength == 1
          ? ""
          : cat("The \"after\" column was measured at strength 1; this export has strength ",
                facts.strength, ".\n\n");
  std::string text = note;
  for (const OrderedJson& document : own) {
    text += "```text\n" + evaluation_table(document) + "```\n";
  }
  return text;
}

std::string origin(const Session& session) {
  const WeightsSource& source = session.source;
  const std::string name =
      source.published_as().empty() ? source.path.filename().string() : source.published_as();
  return cat("`", name, "` (", to_string(source.layout), ", SHA-256 `", source.hash(), "`)");
}

std::string head(const Session& session, const CardFacts& facts, bool is_tuned) {
  const std::string pipeline = facts.tower == Towers::kText     ? "feature-extraction"
                               : facts.tower == Towers::kVision ? "image-feature-extraction"
                                                                : "zero-shot-image-classification";
  const bool is_adapter = facts.target == ExportTarget::kPeft;
  // open_clip is the library of OpenAI's layout on the hub, and "onnx" that of ONNX graphs.
  const std::string library = facts.target == ExportTarget::kOpenAi ? "open_clip"
                              : facts.target == ExportTarget::kOnnx ? "onnx"
                                                                    : loading_library(facts.target);
  std::string text = cat("---\nbase_model: ", base_model_name(session.source));
  if (is_tuned) text += cat("\nbase_model_relation: ", is_adapter ? "adapter" : "finetune");
  return text + cat("\npipeline_tag: ", pipeline, "\ntags:\n- ",
                    form_of(session.source.geometry.family).name,
                    "\n- saferclip\nlibrary_name: ", library, "\n---\n\n");
}

std::string closed_form_effect(ClosedForm form) {
  switch (form) {
    case ClosedForm::kProject:
      return "The main directions from safe to unsafe items are taken out of the embeddings";
    case ClosedForm::kLeace:
      return "The direction that tells safe from unsafe items linearly is taken out of the "
             "embeddings before their normalization";
    case ClosedForm::kRidge:
      return "A linear map takes unsafe images and texts towards their nearest safe targets";
    case ClosedForm::kUwm:
      return "The signs of the weights that unsafe items excite most are flipped";
  }
  return "";
}

std::string summary(const Session& session, const CardFacts& facts) {
  const RunConfig& config = session.config;
  if (config.adapter.method == AdapterMethod::kClosedForm) {
    return cat("A ", form_of(session.source.geometry.family).label, " edited with saferclip ",
               SAFERCLIP_VERSION, ": ", method_text(config.adapter), ". ",
               closed_form_effect(config.adapter.form),
               "; the model is not a filter and makes no promise about any single input.\n\n");
  }
  const std::string redirected =
      uses_lorentz(config.objective) ? ". Unsafe images and texts are to lie farther from the "
                                       "origin than safe ones; nothing was "
                                       "redirected to a target; "
      : uses_model_scale(config.objective)
          ? ". Nothing unsafe was redirected; "
          : cat(". Unsafe images and texts are redirected to ",
                config.objective.targets.mode == TargetMode::kNearest ? "their nearest safe targets"
                                                                      : "their own safe partners",
                "; ");
  std::string text =
      cat("A ", form_of(session.source.geometry.family).label, " tuned with saferclip ",
          SAFERCLIP_VERSION, ": objective `", config.objective.name, "`, ",
          method_text(config.adapter), ", ", facts.step, " steps", redirected,
          "the model is not a filter and makes no promise about any single input.\n\n");
  for (const std::string& problem :
       read_never_trains(facts.checkpoint.parent_path().parent_path())) {
    text += cat("**Not trained:** ", problem, "\n\n");
  }
  return text;
}

std::string facts_table(const Session& session, const CardFacts& facts) {
  const WeightsSource& source = session.source;
  std::string text = cat("| | |\n|---|---|\n| base weights | ", origin(session), " |\n");
  if (facts.target == ExportTarget::kPeft && source.layout != WeightsLayout::kHuggingFace) {
    text += cat("| BASE above | the base weights as a transformers folder: `saferclip export ",
                source.path.filename().string(), " --to hf --out BASE` |\n");
  }
  if (!facts.checkpoint.empty()) {
    text += cat("| checkpoint | `", facts.checkpoint.filename().string(), "` |\n");
  }
  const std::string tower =
      facts.tower == Towers::kBoth ? "" : cat(", ", facts.tower, " tower only");
  const std::string strength = facts.strength == 1 ? "" : cat(", strength ", facts.strength);
  return text + cat("| geometry | ", to_string(source.geometry), " |\n| preprocessing | ",
                    to_string(source.preprocessing), " |\n| form | ", facts.target, ", ",
                    facts.dtype, tower, strength, " |\n\n");
}

}  // namespace

std::string model_card(const Session& session, const CardFacts& facts) {
  const bool is_tuned = !facts.checkpoint.empty();
  const std::string title =
      is_tuned ? session.config.run.name : session.source.path.filename().string();
  std::string card = head(session, facts, is_tuned) + cat("# ", title, "\n\n");
  card += is_tuned ? summary(session, facts)
                   : cat("Weights converted by saferclip ", SAFERCLIP_VERSION,
                         "; nothing was trained.\n\n");
  card += cat("```python\n", loading(facts, form_of(session.source.geometry.family)), "```\n\n");
  if (is_tuned && uses_lorentz(session.config.objective)) card += hysac_card_section();
  card += facts_table(session, facts);
  card +=
      "## License\n\nThe license of the base weights applies to these weights too, and so do the "
      "terms of the data they were tuned on. saferclip itself adds no terms. Complete this section "
      "before you publish the weights.\n\n";
  if (is_tuned) {
    card += cat("## Metrics\n\n", metrics(facts), "\n## Configuration\n\n```yaml\n",
                dump_published_config(session.config), "```\n");
  }
  return card;
}

}  // namespace saferclip
