#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "export/folder.h"
#include "saferclip/core/error.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr const char* kPrefix = "base_model.model.";

void require_adapter(const ModelOptions& model, const AdapterOptions& adapter) {
  if (adapter.method != "lora") {
    throw ConfigError("--to peft: this run trained every weight, there is no adapter; use --to hf");
  }
  if (model.train_logit_scale) {
    throw ConfigError(
        "--to peft: this run trained the logit scale or bias, which an adapter cannot carry; use "
        "--to "
        "hf");
  }
  if (!model.adapter.empty() || fs::exists(fs::path(model.weights) / "adapter_config.json")) {
    throw ConfigError(
        "--to peft: this run started from weights with another adapter merged in, which no base "
        "model on its own has; use --to hf");
  }
  if (model.image_size) {
    throw ConfigError(
        "--to peft: this run changed model.image_size, which an adapter cannot carry; use --to hf");
  }
}

// The towers that the adapter is on and that are asked for.
ExportedTower adapted_tower(const AdapterOptions& adapter, ExportedTower asked) {
  if (adapter.towers == "both") return asked;
  const auto own = adapter.towers == "text" ? ExportedTower::kText : ExportedTower::kVision;
  if (asked != ExportedTower::kBoth && asked != own) {
    throw ConfigError(cat("--tower: the adapter of this run is on the ", adapter.towers,
                          " tower alone (adapter.towers)"));
  }
  return own;
}

// PEFT matches a list by the ends of module names, a string as a regular expression over all.
// A pooling head has an out_proj of its own that PEFT cannot adapt.
Json target_modules(const AdapterOptions& adapter, ExportedTower tower, Family family) {
  std::vector<std::string> targets = adapter.targets;
  std::sort(targets.begin(), targets.end());
  const bool has_pool = !form_of(family).has_class_token;
  if (tower == ExportedTower::kBoth && !has_pool) return targets;
  const char* towers = tower == ExportedTower::kBoth   ? "(text|vision)"
                       : tower == ExportedTower::kText ? "text"
                                                       : "vision";
  return cat(towers, "_model\\..*(self_attn|mlp|embeddings)\\.(", join(targets, "|"), ")");
}

Json auto_mapping(Family family) {
  const FamilyForm& form = form_of(family);
  return {{"base_model_class", cat(form.class_name, "Model")},
          {"parent_library", cat("transformers.models.", form.name, ".modeling_", form.name)}};
}

Json adapter_config(const AdapterOptions& adapter, const WeightsSource& source, const Json& targets,
                    const std::vector<std::string>& saved, double strength) {
  return {{"alpha_pattern", Json::object()},
          {"auto_mapping", auto_mapping(source.geometry.family)},
          {"base_model_name_or_path", base_model_name(source)},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"lora_alpha", adapter.alpha * strength},
          {"lora_dropout", adapter.dropout},
          {"modules_to_save", saved.empty() ? Json() : Json(saved)},
          {"peft_type", "LORA"},
          {"r", adapter.rank},
          {"rank_pattern", Json::object()},
          {"target_modules", targets},
          {"task_type", nullptr},
          {"use_dora", false},
          {"use_rslora", false}};
}

bool belongs(const std::string& module, ExportedTower tower) {
  if (tower == ExportedTower::kBoth) return true;
  return module.starts_with(tower == ExportedTower::kText ? "text_" : "vis");
}

}  // namespace

void export_peft(const ExportRequest& request, const std::vector<NamedTensor>& trained,
                 const ModelOptions& model, const AdapterOptions& adapter,
                 const WeightsSource& source, double strength) {
  require_adapter(model, adapter);
  const ExportedTower tower = adapted_tower(adapter, request.tower);
  std::vector<NamedTensor> tensors;
  std::vector<std::string> saved_modules;
  for (const NamedTensor& named : trained) {
    const bool is_factor = named.name.starts_with(kPrefix);
    const std::string module =
        is_factor ? named.name.substr(std::string_view(kPrefix).size()) : named.name;
    if (!belongs(module, tower)) continue;
    if (is_factor) {
      tensors.push_back({named.name, named.tensor.to(request.dtype)});
      continue;
    }
    const at::Tensor base = source.tensor(named.name).to(at::kFloat).reshape(named.tensor.sizes());
    const at::Tensor value = strength == 1 ? named.tensor : base + (named.tensor - base) * strength;
    tensors.push_back({kPrefix + named.name, value.to(request.dtype)});
    const std::string saved = named.name.substr(0, named.name.rfind('.'));
    if (saved_modules.empty() || saved_modules.back() != saved) saved_modules.push_back(saved);
  }
  const Json config =
      adapter_config(adapter, source, target_modules(adapter, tower, source.geometry.family),
                     saved_modules, strength);
  write_export(request, [&](const fs::path& folder) {
    write_safetensors(folder / "adapter_model.safetensors", tensors);
    write_file_atomically(folder / "adapter_config.json", config.dump(2) + "\n");
  });
}

}  // namespace saferclip
