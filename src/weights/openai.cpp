// OpenAI's layout, as read by clip.load and many later programs: a state_dict or a TorchScript
// archive without a configuration. The shapes determine the geometry, given heads of width 64.
// open_clip uses the same names for a CLIP, so open_clip.cpp attaches and lays out the tensors.
#include "weights/openai.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/open_clip.h"
#include "weights/open_clip_config.h"

namespace saferclip {
namespace {

// The part after `prefix`; "" for a name without it.
std::string behind(const std::string& name, const std::string& prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : "";
}

SourceTensor block_tensor(const std::string& prefix, const std::string& rest) {
  static const std::map<std::string, std::string> kParts{
      {"layer_norm1.weight", "ln_1.weight"},
      {"layer_norm1.bias", "ln_1.bias"},
      {"layer_norm2.weight", "ln_2.weight"},
      {"layer_norm2.bias", "ln_2.bias"},
      {"self_attn.out_proj.weight", "attn.out_proj.weight"},
      {"self_attn.out_proj.bias", "attn.out_proj.bias"},
      {"mlp.fc1.weight", "mlp.c_fc.weight"},
      {"mlp.fc1.bias", "mlp.c_fc.bias"},
      {"mlp.fc2.weight", "mlp.c_proj.weight"},
      {"mlp.fc2.bias", "mlp.c_proj.bias"}};
  const std::size_t dot = rest.find('.');
  const std::string block = prefix + "transformer.resblocks." + rest.substr(0, dot) + ".";
  const std::string part = rest.substr(dot + 1);
  if (const auto found = kParts.find(part); found != kParts.end()) return {block + found->second};
  static constexpr const char* kThirds[] = {"self_attn.q_proj.", "self_attn.k_proj.",
                                            "self_attn.v_proj."};
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::string kind = behind(part, kThirds[i]);
    if (!kind.empty()) return {.name = cat(block, "attn.in_proj_", kind), .third = i};
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", part, "\""));
}

std::int64_t count_blocks(const TensorFiles& files, const std::string& prefix) {
  std::set<std::string> numbers;
  for (const std::string& name : files.names()) {
    if (!name.starts_with(prefix)) continue;
    numbers.insert(name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size()));
  }
  return static_cast<std::int64_t>(numbers.size());
}

FolderContents openai_contents(const ModelRequest& request) {
  require_both_towers(request.tower, "OpenAI's layout");
  const FamilyForm& form = form_of(request.source.geometry.family);
  if (!form.has_openai_names) {
    throw ConfigError(
        cat("--to openai: OpenAI's names do not cover ", form.label, "; use --to hf or open_clip"));
  }
  ModelRequest beside = request;  // an option of open_clip alone
  beside.timm_model.clear();
  std::vector<std::string> notes;
  FolderContents contents;
  contents.texts = {{kOpenClipLayout.config, open_clip_config(beside, notes)}};
  contents.tensor_file = "model.pt";
  contents.format = TensorFormat::kTorch;
  contents.tensors = open_clip_tensors(request.model, request.dtype);
  return contents;
}

}  // namespace

SourceTensor openai_tensor(const std::string& canonical) {
  static const std::map<std::string, SourceTensor> kNames{
      {"logit_scale", {"logit_scale"}},
      {"text_projection.weight", {.name = "text_projection", .is_transposed = true}},
      {"visual_projection.weight", {.name = "visual.proj", .is_transposed = true}},
      {"text_model.embeddings.token_embedding.weight", {"token_embedding.weight"}},
      {"text_model.embeddings.position_embedding.weight", {"positional_embedding"}},
      {"text_model.final_layer_norm.weight", {"ln_final.weight"}},
      {"text_model.final_layer_norm.bias", {"ln_final.bias"}},
      {"vision_model.embeddings.class_embedding", {"visual.class_embedding"}},
      {"vision_model.embeddings.patch_embedding.weight", {"visual.conv1.weight"}},
      {"vision_model.embeddings.position_embedding.weight", {"visual.positional_embedding"}},
      {"vision_model.pre_layrnorm.weight", {"visual.ln_pre.weight"}},
      {"vision_model.pre_layrnorm.bias", {"visual.ln_pre.bias"}},
      {"vision_model.post_layernorm.weight", {"visual.ln_post.weight"}},
      {"vision_model.post_layernorm.bias", {"visual.ln_post.bias"}}};
  if (const auto found = kNames.find(canonical); found != kNames.end()) return found->second;
  for (const auto& [tower, prefix] :
       {std::pair<std::string, std::string>{"text_model.encoder.layers.", ""},
        {"vision_model.encoder.layers.", "visual."}}) {
    const std::string rest = behind(canonical, tower);
    if (!rest.empty()) return block_tensor(prefix, rest);
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", canonical, "\""));
}

bool has_text_prefix(const TensorFiles& files) {
  return !files.contains("positional_embedding") &&
         files.contains(cat(kTextPrefix, "positional_embedding"));
}

bool is_openai_archive(const TensorFiles& files) { return files.contains("input_resolution"); }

ClipGeometry inferred_geometry(const TensorFiles& files) {
  const std::string text = has_text_prefix(files) ? kTextPrefix : "";
  const auto extent = [&](const std::string& name, std::size_t dimension) {
    if (!files.contains(name) || files.shape(name).size() <= dimension) {
      throw WeightsError(cat(files.where(), ": no tensor \"", name,
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
          cat(files.where(), ": width ", tower.width,
              " is not a multiple of 64, so the number of heads cannot be inferred; set "
              "model.architecture (see configs/models/*.json)"));
    }
  }
  return g;
}

constinit const Layout kOpenAiLayout{
    .kind = WeightsLayout::kOpenAi,
    .label = "OpenAI-layout file",
    .title = "OpenAI",
    .client = "clip.load",
    .covers = [](Family family) { return form_of(family).has_openai_names; },
    .has_names = [](const TensorFiles& files) { return files.has_prefix("visual."); },
    .infer = inferred_geometry,
    .attach = attach_open_clip_tensors,
    .contents = openai_contents};

}  // namespace saferclip
