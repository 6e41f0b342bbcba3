// open_clip's folders and tensor names. A CLIP has OpenAI's names, with the text tower under
// "text." if it was a CustomTextCLIP; a SigLIP has timm's vision tower and open_clip's own text
// tower.
#include "weights/open_clip.h"

#include <ATen/ATen.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "saferclip/core/text_format.h"
#include "weights/foreign_models.h"
#include "weights/json_fields.h"
#include "weights/open_clip_config.h"
#include "weights/openai.h"
#include "weights/timm.h"
#include "weights/weight_files.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// open_clip's order, then the file that `export --to openai` writes.
constexpr const char* kOpenClipFiles[] = {"open_clip_model.safetensors",
                                          "open_clip_pytorch_model.safetensors",
                                          "open_clip_pytorch_model.bin",
                                          "open_clip_pytorch_model.pth",
                                          "model.safetensors",
                                          "pytorch_model.bin",
                                          "pytorch_model.pth",
                                          "model.pth",
                                          "model.pt"};

SourceTensor siglip_tensor(const std::string& canonical) {
  if (canonical.starts_with("logit_")) return {canonical};
  const std::string_view head = "text_model.head.";
  if (canonical.starts_with(head)) {
    return {cat(kTextPrefix, "text_projection.", canonical.substr(head.size()))};
  }
  if (canonical.starts_with("vision_model.")) return timm_tensor(canonical);
  SourceTensor from = openai_tensor(canonical);
  from.name = kTextPrefix + from.name;
  return from;
}

bool is_ignored(const std::string& name) {
  static const std::set<std::string> kIgnored{"input_resolution", "context_length", "vocab_size",
                                              "attn_mask", "text.attn_mask"};
  return kIgnored.contains(name);
}

bool has_open_clip_names(const TensorFiles& files) {
  return files.has_prefix("visual.") && !is_openai_archive(files);
}

WeightsSource open_open_clip(const fs::path& folder, const ModelOptions& options,
                             std::shared_ptr<const TensorFiles> files) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kOpenClip;
  const fs::path config = folder / kOpenClipLayout.config;
  read_json_file(config, [&](const nlohmann::json& json) {
    read_open_clip_config(json, config.string(), options, source);
  });
  if (!files) files = client_files(kOpenClipLayout, folder, source.notes);
  refuse_foreign_model(*files, files->where(), source.geometry.family);
  attach_open_clip_tensors(source, files);
  return source;
}

FolderContents open_clip_contents(const ModelRequest& request) {
  require_both_towers(request.tower, "open_clip");
  FolderContents contents;
  contents.texts = {{kOpenClipLayout.config, open_clip_config(request, contents.notes)}};
  contents.tensor_file = kOpenClipFiles[0];
  contents.tensors = open_clip_tensors(request.model, request.dtype);
  contents.metadata = {{"activation", activation_text(request.source.geometry)}};
  return contents;
}

}  // namespace

SourceTensor open_clip_tensor(Family family, const std::string& canonical) {
  return family == Family::kClip ? openai_tensor(canonical) : siglip_tensor(canonical);
}

std::vector<NamedTensor> open_clip_tensors(ClipModel& model, at::ScalarType dtype) {
  return laid_out_tensors(model, dtype, [&](const std::string& name) {
    return open_clip_tensor(model.geometry.family, name);
  });
}

void attach_open_clip_tensors(WeightsSource& source,
                              const std::shared_ptr<const TensorFiles>& files) {
  source.text.context_length = source.geometry.context_length;
  source.text.vocab_size = source.geometry.vocab_size;
  source.text.bos_id = source.geometry.vocab_size - 2;
  source.text.eos_id = source.geometry.vocab_size - 1;
  source.preprocessing.image_size = source.geometry.image_size;
  const Family family = source.geometry.family;
  const bool is_prefixed = family == Family::kClip && has_text_prefix(*files);
  attach_tensors(
      source, files,
      [family, is_prefixed](const std::string& name) {
        SourceTensor from = open_clip_tensor(family, name);
        const bool is_text = !from.name.starts_with("visual.") && from.name != "logit_scale";
        if (is_prefixed && is_text) from.name = kTextPrefix + from.name;
        return from;
      },
      is_ignored);
}

constinit const Layout kOpenClipLayout{
    .kind = WeightsLayout::kOpenClip,
    .label = "open_clip folder",
    .title = "open_clip",
    .client = "open_clip",
    .config = "open_clip_config.json",
    .files = kOpenClipFiles,
    .own = "open_clip_",
    .expected = "open_clip_model.safetensors or open_clip_pytorch_model.bin",
    .takes_architecture = true,
    .covers = [](Family) { return true; },
    .has_names = has_open_clip_names,
    .infer = inferred_geometry,
    .attach = attach_open_clip_tensors,
    .open = open_open_clip,
    .contents = open_clip_contents};

}  // namespace saferclip
