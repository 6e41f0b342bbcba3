// Options of the model, and of which parts of it are trained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"
#include "saferclip/core/preprocessing.h"
#include "saferclip/nn/activation.h"

namespace saferclip {

struct ModelOptions {
  std::string weights;
  std::string written_weights;  // as the user wrote it, unless absolute; not a field
  std::string init;
  std::string architecture;
  std::string adapter;
  std::optional<std::int64_t> image_size;
  std::optional<Activation> activation;  // none: the source's
  std::string tokenizer = "auto";
  std::optional<TextCleaning> text_clean;  // none: the source's
  bool train_logit_scale = false;
  bool train_projections = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("weights",
                "Weights to start from: a Hugging Face, open_clip or PEFT folder, or a file "
                "(.safetensors, .pt, .bin; OpenAI's archives too).")
              .input_path()
              .may_change_on_resume(),
          self.weights);
    visit(field("init", "Start from random weights of this architecture file instead (JSON).")
              .input_file()
              .may_change_on_resume(),
          self.init);
    visit(field("architecture",
                "Geometry and preprocessing of a weights file that does not state them (JSON, see "
                "configs/models).")
              .input_file()
              .may_change_on_resume(),
          self.architecture);
    visit(field("adapter",
                "PEFT adapter folder or LoRA file (also kohya's and diffusers') to merge into the "
                "weights first.")
              .input_path()
              .may_change_on_resume(),
          self.adapter);
    reading_fields(self, visit);
  }

 private:
  // How the source is read.
  template <class Self, class Visit>
  static void reading_fields(Self& self, Visit& visit) {
    visit(field("image_size",
                "Image side in pixels; a value other than the weights' own interpolates the "
                "position embeddings.")
              .at_least(1)
              .at_most(4096),
          self.image_size);
    visit(field("activation",
                "MLP activation; auto takes it from the source, and fails if the source does not "
                "state it.")
              .or_word("auto"),
          self.activation);
    visit(
        field(
            "tokenizer",
            "auto (the source's own files, else CLIP's vocabulary); clip; a folder with vocab.json "
            "and merges.txt or a SentencePiece model; or the path of a SentencePiece model.")
            .input_path()
            .one_of({"auto", "clip"})
            .may_change_on_resume(),
        self.tokenizer);
    visit(field("text_clean", "Caption cleaning; auto does what the source's own client does.")
              .or_word("auto"),
          self.text_clean);
    visit(field("train_logit_scale", "Train the logit scale, and SigLIP's logit bias."),
          self.train_logit_scale);
    visit(field("train_projections",
                "Train the final projections (CLIP has two, SigLIP one: text_model.head)."),
          self.train_projections);
  }
};

enum class AdapterMethod { kLora, kFull, kMask, kClosedForm };
constexpr auto enum_words(AdapterMethod) {
  return std::to_array<EnumWord<AdapterMethod>>({{AdapterMethod::kLora, "lora"},
                                                 {AdapterMethod::kFull, "full"},
                                                 {AdapterMethod::kMask, "mask"},
                                                 {AdapterMethod::kClosedForm, "closed_form"}});
}

// What closed_form solves for: a map of the final projections, or signs of single weights (uwm).
enum class ClosedForm { kProject, kLeace, kRidge, kUwm };
constexpr auto enum_words(ClosedForm) {
  return std::to_array<EnumWord<ClosedForm>>({{ClosedForm::kProject, "project"},
                                              {ClosedForm::kLeace, "leace"},
                                              {ClosedForm::kRidge, "ridge"},
                                              {ClosedForm::kUwm, "uwm"}});
}

// Towers that are trained, or exported.
enum class Towers { kBoth, kText, kVision };
constexpr auto enum_words(Towers) {
  return std::to_array<EnumWord<Towers>>(
      {{Towers::kBoth, "both"}, {Towers::kText, "text"}, {Towers::kVision, "vision"}});
}

// The loss whose gradient says what tuning must not harm: the towers' way to tell safe partners
// apart, or the objective's own preservation terms.
enum class GeneralKnowledge { kKl, kPreserve };
constexpr auto enum_words(GeneralKnowledge) {
  return std::to_array<EnumWord<GeneralKnowledge>>(
      {{GeneralKnowledge::kKl, "kl"}, {GeneralKnowledge::kPreserve, "preserve"}});
}

struct GradientDropoutOptions {
  bool enabled = true;
  double lambda = 1;
  GeneralKnowledge general = GeneralKnowledge::kKl;
  double temperature = 1;
  double eps = 1e-8;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("enabled",
                "Drop elements of the scores' gradient by chance where it opposes that of general "
                "knowledge; takes a second backward pass over the safe rows."),
          self.enabled);
    visit(field("lambda", "Share of an element that is dropped; 0 drops nothing.")
              .at_least(0)
              .at_most(1),
          self.lambda);
    visit(
        field("general",
              "General knowledge: kl (which of the batch's frozen partners a safe row matches, "
              "as the reference has it) or preserve (the objective's pres_* and anchor_* terms)."),
        self.general);
    visit(field("temperature", "general: kl: temperature of both distributions.").above(0),
          self.temperature);
    visit(field("eps", "Added to |a| + |b| in the probability; gradients may be as small.")
              .at_least(0),
          self.eps);
  }
};

struct AdapterOptions {
  AdapterMethod method = AdapterMethod::kLora;
  Towers towers = Towers::kBoth;
  std::int64_t rank = 16;
  double alpha = 1;
  double dropout = 0;
  std::string start_from;
  std::vector<std::string> targets{"k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"};
  ClosedForm form = ClosedForm::kRidge;
  double strength = 1;
  double weight = 1;
  double ridge = 1e-3;
  double flip_fraction = 0.02;
  double init = 0.01;
  double threshold = 0.005;
  double off_value = 0;
  double norm_weight = 0;
  GradientDropoutOptions gradient_dropout;

  // The defaults of a method.
  static AdapterOptions preset(AdapterMethod method) {
    AdapterOptions options;
    options.method = method;
    if (method == AdapterMethod::kMask) {
      options.targets = {"q_proj", "k_proj", "v_proj", "out_proj", "patch_embedding"};
    }
    return options;
  }

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("method",
                "lora trains low-rank adapters; full trains all weights; mask trains which weights "
                "are switched off (arXiv 2307.15049); closed_form trains nothing: it solves for "
                "the final projections in one pass over the rows."),
          self.method);
    visit(field("towers", "Towers to train; the other one is frozen."), self.towers);
    visit(field("rank", "Rank r of an adapter; of form: project, directions taken out.")
              .at_least(1)
              .at_most(4096),
          self.rank);
    visit(field("alpha", "The adapter's output is multiplied by alpha / rank.").above(0),
          self.alpha);
    visit(field("dropout", "Dropout on the adapter's input.").at_least(0).below(1), self.dropout);
    visit(field("start_from",
                "PEFT adapter folder or LoRA file whose factors training starts from; rank, alpha "
                "and targets must match it.")
              .input_path()
              .may_change_on_resume(),
          self.start_from);
    visit(field("targets",
                "Linear layers that get an adapter or a mask, in the trained towers; method: mask "
                "has q_proj, k_proj, v_proj, out_proj and patch_embedding by default.")
              .one_of({"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"}),
          self.targets);
    closed_form_fields(self, visit);
    mask_fields(self, visit);
  }

 private:
  template <class Self, class Visit>
  static void closed_form_fields(Self& self, Visit& visit) {
    visit(field("form",
                "What closed_form does: project takes the main directions from safe to unsafe "
                "out of the embeddings; leace the one that tells them apart linearly; ridge maps "
                "unsafe embeddings to their nearest-safe targets; uwm flips signs of weights."),
          self.form);
    visit(
        field("strength", "form: project: the share of the directions that is taken out.").above(0),
        self.strength);
    visit(field("weight", "form: ridge: weight of the unsafe rows beside the safe ones.").above(0),
          self.weight);
    visit(field("ridge",
                "form: ridge: pull of the map to the identity, relative to the mean eigenvalue of "
                "the safe embeddings' second moment.")
              .above(0),
          self.ridge);
    visit(field("flip_fraction",
                "form: uwm: share of each layer's summed scores held by the weights that flip.")
              .above(0)
              .at_most(1),
          self.flip_fraction);
  }
  template <class Self, class Visit>
  static void mask_fields(Self& self, Visit& visit) {
    visit(field("init", "method: mask: score of every weight at the start; above threshold."),
          self.init);
    visit(field("threshold", "method: mask: weights whose score is not above it are off."),
          self.threshold);
    visit(field("off_value",
                "method: mask: an off weight is this times its value: 0 takes it out, -1 flips its "
                "sign."),
          self.off_value);
    visit(field("norm_weight",
                "method: mask: weight of the sum of the scores' norms, one for each tensor, in the "
                "loss; the paper's is 1e-4. By itself it switches everything off.")
              .at_least(0),
          self.norm_weight);
    visit(field("gradient_dropout", "method: mask: gradient dropout."), self.gradient_dropout);
  }
};

}  // namespace saferclip
