// LoRA files of diffusion models, which have no adapter_config.json: alpha is stored beside the
// factors or in the metadata, and only the text encoder's part is CLIP's.
// https://github.com/kohya-ss/sd-scripts (networks/lora.py), diffusers'
// loaders/lora_conversion_utils
#include "weights/lora_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;

// A file's tensor: the part of the diffusion model, the module in it, and the kind.
struct Part {
  std::string encoder;  // "lora_te", "text_encoder_2"; empty: the U-Net
  std::string module;
  std::string kind;  // after the module: "lora_down.weight", "alpha"
};

// Maps kohya's form of module names to the dotted one.
std::map<std::string, std::string> underscored_modules(const ClipGeometry& geometry) {
  std::map<std::string, std::string> modules;
  constexpr std::string_view kWeight = ".weight";
  for (const TensorForm& form : tensor_forms(geometry)) {
    if (!form.name.ends_with(kWeight)) continue;
    const std::string module = form.name.substr(0, form.name.size() - kWeight.size());
    std::string flat = module;
    std::replace(flat.begin(), flat.end(), '.', '_');
    modules.emplace(flat, module);
  }
  return modules;
}

// "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "lora_te2_…", "lora_unet_…".
Part kohya_part(const std::string& name) {
  const std::size_t dot = name.find('.');
  const std::string flat = name.substr(0, dot);
  Part part{"", flat, dot == std::string::npos ? "" : name.substr(dot + 1)};
  if (flat.starts_with("lora_te")) {
    const std::size_t end = flat.find('_', std::string_view("lora_te").size());
    part.encoder = flat.substr(0, end);
    part.module = end == std::string::npos ? "" : flat.substr(end + 1);
  }
  return part;
}

// "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight" and diffusers' older forms.
Part diffusers_part(const std::string& name) {
  static const std::pair<std::string, std::string> kKinds[] = {
      {".lora_A.weight", "lora_down.weight"},
      {".lora_B.weight", "lora_up.weight"},
      {".lora_linear_layer.down.weight", "lora_down.weight"},
      {".lora_linear_layer.up.weight", "lora_up.weight"},
      {".lora.down.weight", "lora_down.weight"},
      {".lora.up.weight", "lora_up.weight"},
      {"_lora.down.weight", "lora_down.weight"},
      {"_lora.up.weight", "lora_up.weight"},
      {".alpha", "alpha"}};
  static const std::pair<std::string, std::string> kOldNames[] = {
      {".to_q", ".q_proj"}, {".to_k", ".k_proj"}, {".to_v", ".v_proj"}, {".to_out", ".out_proj"}};
  Part part{"", name, ""};
  if (!name.starts_with("text_encoder")) return part;
  part.encoder = name.substr(0, name.find('.'));
  part.module = name.substr(std::min(name.size(), part.encoder.size() + 1));
  for (const auto& [suffix, kind] : kKinds) {
    if (!part.module.ends_with(suffix)) continue;
    part.module.resize(part.module.size() - suffix.size());
    part.kind = kind;
    break;
  }
  for (const auto& [old, now] : kOldNames) {
    if (!part.module.ends_with(old)) continue;
    part.module.replace(part.module.size() - old.size(), old.size(), now);
  }
  return part;
}

void keep_part(const Part& part, const std::string& full, const at::Tensor& value,
               LoraContent& content) {
  if (part.kind == "lora_down.weight" || part.kind == "lora_up.weight") {
    keep_factor(content, part.module, part.kind == "lora_down.weight" ? Factor::kA : Factor::kB,
                value);
  } else if (part.kind == "alpha" && value.numel() == 1) {
    content.factors[part.module].alpha = value.to(at::kDouble).item<double>();
  } else {
    content.problems.push_back(cat(full, ": not a factor of a plain LoRA"));
  }
}

// One encoder's settings in diffusers' metadata.
void read_metadata(const TensorFile& file, const std::string& encoder, LoraContent& content) {
  const auto found = file.metadata.find("lora_adapter_metadata");
  if (found == file.metadata.end() || is_nested_deeper(found->second, 64)) return;
  const auto all = nlohmann::ordered_json::parse(found->second, nullptr, false);
  nlohmann::ordered_json own = nlohmann::ordered_json::object();
  const std::string prefix = encoder + ".";
  for (const auto& [key, value] : all.items()) {
    if (key.starts_with(prefix)) own[key.substr(prefix.size())] = value;
  }
  if (own.empty()) return;
  own["peft_type"] = "LORA";
  try {
    content.config = parse_peft_config(own.dump(), file.path.string());
  } catch (const Json::exception& problem) {
    throw WeightsError(
        cat(file.path.string(), ": metadata lora_adapter_metadata: ", problem.what()));
  }
}

// Without settings, clients use the rank as alpha when all ranks are equal.
void complete_alpha(bool is_kohya, LoraContent& content) {
  std::set<std::int64_t> ranks;
  for (auto& [module, factors] : content.factors) {
    if (factors.a.defined() && factors.a.dim() > 0) ranks.insert(factors.a.size(0));
  }
  if (ranks.empty() || content.config.rank) return;
  const bool is_told =
      std::all_of(content.factors.begin(), content.factors.end(),
                  [](const auto& entry) { return entry.second.alpha.has_value(); });
  if (!is_told && !is_kohya && ranks.size() > 1) {
    content.problems.emplace_back(
        "the ranks differ and no alpha is given (metadata lora_adapter_metadata), so the scaling "
        "is unknown");
  }
  for (auto& [module, factors] : content.factors) {
    if (!factors.alpha && factors.a.defined() && factors.a.dim() > 0) {
      factors.alpha = static_cast<double>(factors.a.size(0));
    }
  }
}

}  // namespace

LoraContent read_lora_file(const TensorFile& file, const ClipGeometry& geometry) {
  const bool is_kohya = lora_dialect(file) == "kohya's";
  const auto known =
      is_kohya ? underscored_modules(geometry) : std::map<std::string, std::string>{};
  LoraContent content;
  std::set<std::string> encoders;
  std::size_t left = 0;
  for (const auto& [name, info] : file.entries) {
    Part part = is_kohya ? kohya_part(name) : diffusers_part(name);
    if (part.encoder.empty()) {
      ++left;
      continue;
    }
    encoders.insert(part.encoder);
    if (is_kohya && known.contains(part.module)) part.module = known.at(part.module);
    keep_part(part, name, file.tensor(name), content);
  }
  if (encoders.size() > 1) {
    throw WeightsError(cat(file.path.string(), ": contains factors of ", encoders.size(),
                           " text encoders (", join({encoders.begin(), encoders.end()}, ", "),
                           "); save only those of the one you want"));
  }
  if (encoders.empty()) {
    throw WeightsError(cat(file.path.string(), ": contains ", left,
                           " tensors of a U-Net or another model, but none of a text encoder "
                           "(lora_te_…, text_encoder.…)"));
  }
  if (left > 0) {
    content.notes.push_back(cat(file.path.string(), ": ", left,
                                " tensors of a U-Net or another model were left out; reading only "
                                "those of ",
                                *encoders.begin()));
  }
  if (!is_kohya) read_metadata(file, *encoders.begin(), content);
  complete_alpha(is_kohya, content);
  content.config.base_class = "CLIPTextModel";
  return content;
}

}  // namespace saferclip
