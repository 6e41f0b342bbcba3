// Weights with OpenAI's names: bare files, and what open_clip folders share with them.
#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// What a name tells of models that are not read here, or not as CLIP.
struct ForeignMark {
  const char* prefix;
  const char* sentence;
  bool is_siglip = false;  // SigLIP has such names
};
constexpr const char* kResNet =
    "a ResNet CLIP. transformers and PEFT have no such tower and neither has saferclip; start from "
    "a ViT of the same family (ViT-B/32, ViT-B/16, ViT-L/14)";
constexpr const char* kSiglipNames =
    "a SigLIP model, but its configuration describes a CLIP; a bare file needs model.architecture "
    "(as configs/models/ViT-B-16-SigLIP.json)";
constexpr ForeignMark kForeign[] = {
    {"visual.layer1.", kResNet},
    {"visual.attnpool.", kResNet},
    {"text.transformer.embeddings.",
     "an open_clip model with a Hugging Face text tower, which is not supported; use a model with "
     "CLIP's own text tower (its configuration has no hf_model_name)"},
    {"text_decoder.", "a CoCa model, which is not supported; use a CLIP"},
    {"visual.attn_pool.", "a model with attentional pooling, which is not supported"},
    {"visual.trunk.attn_pool.", kSiglipNames, true},
    {"vision_model.head.", kSiglipNames, true},
    {"visual.trunk.",
     "an open_clip model with a timm vision tower, of which only SigLIP's are supported; use a "
     "model with open_clip's own ViT (its configuration has no timm_model_name)",
     true},
    {"logit_bias", kSiglipNames, true},
};

// open_clip's CustomTextCLIP puts the text tower under "text."; it is read as if at the top.
bool has_text_prefix(const TensorFiles& files) {
  return !files.contains("positional_embedding") && files.contains("text.positional_embedding");
}

SourceTensor locate(Family family, const std::string& canonical, bool is_prefixed) {
  SourceTensor from = open_clip_name(family, canonical);
  if (family == Family::kClip && is_prefixed && !from.name.starts_with("visual.") &&
      from.name != "logit_scale") {
    from.name = "text." + from.name;
  }
  return from;
}

bool is_ignored_openai(const std::string& name) {
  static const std::set<std::string> kIgnored{"input_resolution", "context_length", "vocab_size",
                                              "attn_mask", "text.attn_mask"};
  return kIgnored.contains(name);
}

std::int64_t count_blocks(const TensorFiles& files, const std::string& prefix) {
  std::set<std::string> numbers;
  for (const std::string& name : files.names()) {
    if (!name.starts_with(prefix)) continue;
    numbers.insert(name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size()));
  }
  return static_cast<std::int64_t>(numbers.size());
}

// Geometry from shapes alone (OpenAI's own rule, heads of width 64).
ClipGeometry inferred_geometry(const TensorFiles& files, const fs::path& path) {
  const std::string text = has_text_prefix(files) ? "text." : "";
  const auto extent = [&](const std::string& name, std::size_t dimension) {
    if (!files.contains(name) || files.shape(name).size() <= dimension) {
      throw WeightsError(cat(path.string(), ": no tensor \"", name,
                             "\" of the expected rank: the names are neither OpenAI's nor Hugging "
                             "Face's CLIP names"));
    }
    return files.shape(name)[dimension];
  };
  ClipGeometry g;
  g.vision.width = extent("visual.conv1.weight", 0);
  g.patch_size = extent("visual.conv1.weight", 3);
  const auto grid = static_cast<std::int64_t>(
      std::llround(std::sqrt(static_cast<double>(extent("visual.positional_embedding", 0) - 1))));
  g.image_size = g.patch_size * grid;
  g.embed_dim = extent(text + "text_projection", 1);
  g.context_length = extent(text + "positional_embedding", 0);
  g.vocab_size = extent(text + "token_embedding.weight", 0);
  g.text.width = extent(text + "ln_final.weight", 0);
  g.vision.layers = count_blocks(files, "visual.transformer.resblocks.");
  g.text.layers = count_blocks(files, text + "transformer.resblocks.");
  g.vision.mlp_width = extent("visual.transformer.resblocks.0.mlp.c_fc.weight", 0);
  g.text.mlp_width = extent(text + "transformer.resblocks.0.mlp.c_fc.weight", 0);
  g.vision.heads = g.vision.width / 64;
  g.text.heads = g.text.width / 64;
  for (const TowerGeometry& tower : {g.text, g.vision}) {
    if (tower.heads < 1 || tower.width % 64 != 0) {
      throw WeightsError(
          cat(path.string(), ": width ", tower.width,
              " is no multiple of 64, so the number of heads cannot be inferred; set "
              "model.architecture (configs/models/*.json has the known ones)"));
    }
  }
  return g;
}

// The activation that the file itself tells: in our metadata, or because it is OpenAI's, and all of
// those use QuickGELU.
std::string told_activation(const TensorFiles& files) {
  const auto said = files.metadata().find("activation");
  if (said != files.metadata().end() && (said->second == "gelu" || said->second == "quick_gelu")) {
    return said->second;
  }
  return is_openai_archive(files) ? "quick_gelu" : "";
}

void read_bare_geometry(WeightsSource& source, const TensorFiles& files, ModelOptions options) {
  const std::string told = told_activation(files);
  if (options.activation == "auto" && !told.empty()) options.activation = told;
  if (!told.empty() && options.activation != told) {
    throw ConfigError(cat("model.activation is ", options.activation, ", but ",
                          source.path.string(), " says ", told));
  }
  const bool is_hugging_face = has_hugging_face_names(files);
  if (!options.architecture.empty()) {
    read_json_file(options.architecture, [&](const nlohmann::json& json) {
      read_hugging_face_config(json, options.architecture, options, source);
      if (json.contains("preprocessing")) {
        read_preprocessor_config(json["preprocessing"], options.architecture, source);
      }
    });
    if (!is_hugging_face) {
      source.preprocessing.crop_rounding = CropRounding::kHalfEven;
      source.preprocessing.transparency = Transparency::kDropped;
    }
    return;
  }
  if (is_hugging_face) {
    throw WeightsError(
        cat(source.path.string(),
            ": has Hugging Face's tensor names, which do not tell heads and activation; give the "
            "folder with its config.json as model.weights, or set model.architecture"));
  }
  source.geometry = inferred_geometry(files, source.path);
  source.geometry.text.activation = source.geometry.vision.activation =
      demanded_activation(options, source.path.string() + " does not say");
  // OpenAI's own archives are what this assumes.
  if (is_openai_archive(files)) return;
  source.notes.push_back(
      cat(source.path.string(),
          ": heads of width 64, OpenAI's mean and std and a bicubic resize are "
          "assumed, as the file does not say; set model.architecture otherwise"));
}

}  // namespace

bool has_prefix(const TensorFiles& files, const std::string& prefix) {
  const auto names = files.names();
  const auto found = std::lower_bound(names.begin(), names.end(), prefix);
  return found != names.end() && found->starts_with(prefix);
}

bool has_hugging_face_names(const TensorFiles& files) {
  return files.contains("vision_model.embeddings.patch_embedding.weight");
}

bool is_openai_archive(const TensorFiles& files) { return files.contains("input_resolution"); }

void refuse_foreign_model(const TensorFiles& files, const std::string& where, Family family) {
  for (const ForeignMark& mark : kForeign) {
    if (mark.is_siglip && family == Family::kSiglip) continue;
    if (has_prefix(files, mark.prefix)) throw WeightsError(cat(where, ": is ", mark.sentence));
  }
}

void attach_open_clip_tensors(WeightsSource& source,
                              const std::shared_ptr<const TensorFiles>& files) {
  source.text.context_length = source.geometry.context_length;
  source.text.vocab_size = source.geometry.vocab_size;
  source.text.bos_id = source.geometry.vocab_size - 2;
  source.text.eos_id = source.geometry.vocab_size - 1;
  source.preprocessing.image_size = source.geometry.image_size;
  const bool is_prefixed = has_text_prefix(*files);
  attach_tensors(
      source, files,
      [is_prefixed, family = source.geometry.family](const std::string& name) {
        return locate(family, name, is_prefixed);
      },
      is_ignored_openai);
}

WeightsSource open_bare_file(const fs::path& file, const ModelOptions& options,
                             const std::shared_ptr<const TensorFiles>& files) {
  WeightsSource source;
  source.path = file;
  source.layout = WeightsLayout::kOpenAi;
  // Without a description it must be a CLIP.
  if (options.architecture.empty()) refuse_foreign_model(*files, file.string(), Family::kClip);
  read_bare_geometry(source, *files, options);
  const Family family = source.geometry.family;
  refuse_foreign_model(*files, file.string(), family);
  if (has_hugging_face_names(*files)) {
    source.layout = WeightsLayout::kHuggingFace;
    source.text.cleaning = default_cleaning(family, TextCleaning::kHuggingFace);
    attach_hugging_face_tensors(source, files);
  } else {
    source.layout = family == Family::kClip ? WeightsLayout::kOpenAi : WeightsLayout::kOpenClip;
    source.text.cleaning = default_cleaning(family, TextCleaning::kOpenAi);
    attach_open_clip_tensors(source, files);
  }
  return source;
}

}  // namespace saferclip
