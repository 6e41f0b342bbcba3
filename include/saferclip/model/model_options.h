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

enum class AdapterMethod { kLora, kFull, kClosedForm };
constexpr auto enum_words(AdapterMethod) {
  return std::to_array<EnumWord<AdapterMethod>>({{AdapterMethod::kLora, "lora"},
                                                 {AdapterMethod::kFull, "full"},
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

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("method",
                "lora trains low-rank adapters; full trains all weights; closed_form trains "
                "nothing: it solves for the final projections in one pass over the rows."),
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
    visit(field("targets", "Linear layers that get an adapter, in the trained towers.")
              .one_of({"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"}),
          self.targets);
    closed_form_fields(self, visit);
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
};

}  // namespace saferclip
