// Options of the model, and of which parts of it are trained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/fields.h"

namespace saferclip {

struct ModelOptions {
  std::string weights;
  std::string written_weights;  // as the user wrote it, unless absolute; not a field
  std::string init;
  std::string architecture;
  std::string adapter;
  std::optional<std::int64_t> image_size;
  std::string activation = "auto";
  std::string tokenizer = "auto";
  std::string text_clean = "auto";
  bool train_logit_scale = false;
  bool train_projections = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("weights",
                "Weights to start from: a Hugging Face, open_clip or PEFT folder, or a file "
                "(.safetensors, .pt, .bin; OpenAI's archives too).")
              .input_path()
              .free(),
          self.weights);
    visit(field("init", "Start from random weights of this architecture file instead (JSON).")
              .input_file()
              .free(),
          self.init);
    visit(field("architecture",
                "Geometry and preprocessing of a bare weights file that does not say (JSON, see "
                "configs/models).")
              .input_file()
              .free(),
          self.architecture);
    visit(field("adapter",
                "PEFT adapter folder, or LoRA file (kohya's and diffusers' too), to merge into the "
                "weights before anything else.")
              .input_path()
              .free(),
          self.adapter);
    visit(field("image_size",
                "Picture side in pixels; another one than the weights' interpolates the position "
                "embeddings.")
              .at_least(1)
              .at_most(4096),
          self.image_size);
    visit(field("activation",
                "MLP activation; auto takes the source's word and refuses when it does not say.")
              .one_of({"auto", "quick_gelu", "gelu", "gelu_pytorch_tanh"}),
          self.activation);
    visit(field("tokenizer",
                "auto (the source's own files, else CLIP's vocabulary), clip, a folder with "
                "vocab.json and merges.txt or a SentencePiece model, or such a model.")
              .input_path()
              .one_of({"auto", "clip"})
              .free(),
          self.tokenizer);
    visit(field("text_clean", "Caption cleaning; auto does what the source's own client does.")
              .one_of({"auto", "openai", "whitespace", "canonicalize", "hf", "siglip", "none"}),
          self.text_clean);
    visit(field("train_logit_scale", "Train the logit scale, and SigLIP's logit bias."),
          self.train_logit_scale);
    visit(field("train_projections",
                "Train the final projections (CLIP has two, SigLIP one: text_model.head)."),
          self.train_projections);
  }
};

struct AdapterOptions {
  std::string method = "lora";
  std::string towers = "both";
  std::int64_t rank = 16;
  double alpha = 1;
  double dropout = 0;
  std::string start_from;
  std::vector<std::string> targets{"k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("method", "lora trains low-rank adapters; full trains every weight.")
              .one_of({"lora", "full"}),
          self.method);
    visit(field("towers", "Which towers are trained; the other one stays as it is.")
              .one_of({"both", "text", "vision"}),
          self.towers);
    visit(field("rank", "Rank r of an adapter.").at_least(1).at_most(4096), self.rank);
    visit(field("alpha", "The adapter's output is multiplied by alpha / rank.").above(0),
          self.alpha);
    visit(field("dropout", "Dropout on the adapter's input.").at_least(0).below(1), self.dropout);
    visit(field("start_from",
                "PEFT adapter folder or LoRA file whose factors the training starts from; rank, "
                "alpha and "
                "targets must be its own.")
              .input_path()
              .free(),
          self.start_from);
    visit(field("targets", "Linear layers that get an adapter, in the towers that are trained.")
              .one_of({"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding"}),
          self.targets);
  }
};

}  // namespace saferclip
