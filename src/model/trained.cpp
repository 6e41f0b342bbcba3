// The leaves of a run follow from the options alone: one function makes them when training starts,
// when a checkpoint is read and when an export merges, so names and shapes cannot diverge. LoRA's
// initial factors depend on the seed and the module's name, not on any order.
#include "saferclip/model/trained.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "saferclip/core/error.h"
#include "saferclip/core/rng.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kLoraStream = 0x10A4;

bool is_projection(const std::string& name, Family family) {
  return name.starts_with("visual_projection.") ||
         name.starts_with(std::string(form_of(family).text_projection) + ".");
}

bool decays(const std::string& name, const at::Tensor& tensor) {
  return tensor.dim() >= 2 && name.find("token_embedding") == std::string::npos &&
         name.find("position_embedding") == std::string::npos &&
         name.find("class_embedding") == std::string::npos;
}

// A: uniform with bound 1/sqrt(I), which is Kaiming with a = sqrt(5), as PEFT initializes it.
LoraSegment make_segment(const LinearSlot& slot, std::int64_t rank, std::uint64_t seed) {
  const std::int64_t inputs = slot.layer->weight.size(1);
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU).clone();
  generator.set_current_seed(mix_text(mix_bits(seed, {kLoraStream}), slot.module));
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  const at::Device device = slot.layer->weight.device();
  LoraSegment segment{slot.module,
                      at::empty({rank, inputs}).uniform_(-bound, bound, generator).to(device),
                      at::zeros({slot.rows, rank}).to(device), slot.row, slot.rows};
  segment.a.requires_grad_(true);
  segment.b.requires_grad_(true);
  return segment;
}

// The layers of the trained towers that adapter.targets names.
std::vector<LinearSlot> target_slots(ClipModel& model, const AdapterOptions& adapter) {
  std::vector<LinearSlot> slots = linear_slots(model);
  std::erase_if(slots, [&](const LinearSlot& slot) {
    return std::ranges::find(adapter.targets, slot.suffix) == adapter.targets.end() ||
           !is_of_towers(slot.module, adapter.towers);
  });
  return slots;
}

void add_lora(ClipModel& model, const AdapterOptions& adapter, std::uint64_t seed,
              std::vector<TrainedParameter>& parameters) {
  const std::int64_t patch = model.geometry.patch_size;
  for (LinearSlot& slot : target_slots(model, adapter)) {
    LoraSegment segment = make_segment(slot, adapter.rank, seed);
    slot.layer->lora_scaling = adapter.alpha / static_cast<double>(adapter.rank);
    slot.layer->lora_dropout = adapter.dropout;
    // PEFT stores a convolution's adapter as two convolutions.
    const bool is_patch = slot.suffix == "patch_embedding";
    const auto a_shape = is_patch ? std::vector<std::int64_t>{adapter.rank, 3, patch, patch}
                                  : segment.a.sizes().vec();
    const auto b_shape = is_patch ? std::vector<std::int64_t>{slot.rows, adapter.rank, 1, 1}
                                  : segment.b.sizes().vec();
    parameters.push_back({segment.a, {{lora_a_name(slot.module), 0, 0}}, a_shape, true});
    parameters.push_back({segment.b, {{lora_b_name(slot.module), 0, 0}}, b_shape, true});
    slot.layer->lora.push_back(std::move(segment));
  }
}

// Weight decay would pull the scores below the threshold.
void add_masks(ClipModel& model, const AdapterOptions& adapter,
               std::vector<TrainedParameter>& parameters) {
  const std::int64_t patch = model.geometry.patch_size;
  for (LinearSlot& slot : target_slots(model, adapter)) {
    const at::Tensor& weight = slot.layer->weight;
    MaskSegment segment{
        at::full({slot.rows, weight.size(1)}, adapter.init, weight.options().dtype(at::kFloat))
            .requires_grad_(true),
        slot.row, slot.rows};
    const auto shape = slot.suffix == "patch_embedding"
                           ? std::vector<std::int64_t>{slot.rows, 3, patch, patch}
                           : segment.scores.sizes().vec();
    parameters.push_back({segment.scores, {{mask_name(slot.module), 0, 0}}, shape, false});
    slot.layer->mask_rule = {adapter.threshold, adapter.off_value};
    slot.layer->masks.push_back(std::move(segment));
  }
}

// Merges what was trained on a layer beside its weight.
void merge_layer(Linear& layer, double strength) {
  if (!layer.lora.empty()) {
    layer.lora_scaling *= strength;
    layer.weight = merged_weight(layer);
    layer.lora.clear();
  }
  if (!layer.masks.empty()) {
    layer.weight = scaled_change(layer.weight, masked_weight(layer), strength);
    layer.masks.clear();
  }
}

bool is_solved_weight(const std::string& name, Family family, ClosedForm form) {
  if (form != ClosedForm::kUwm) return is_projection(name, family);
  return name.starts_with("text_") ? name.ends_with(".self_attn.out_proj.weight")
                                   : name.ends_with(".mlp.fc2.weight");
}

bool is_trained_weight(const std::string& name, Family family, const ModelOptions& options,
                       const AdapterOptions& adapter) {
  if (adapter.method == AdapterMethod::kClosedForm) {
    return is_of_towers(name, adapter.towers) && is_solved_weight(name, family, adapter.form);
  }
  if (name.starts_with("logit_")) return options.train_logit_scale;
  if (!is_of_towers(name, adapter.towers)) return false;
  return is_projection(name, family) ? options.train_projections
                                     : adapter.method == AdapterMethod::kFull;
}

void add_weights(ClipModel& model, const ModelOptions& options, const AdapterOptions& adapter,
                 std::vector<TrainedParameter>& parameters) {
  std::map<at::Tensor*, std::size_t> seen;
  for (const TensorSlot& slot : tensor_slots(model)) {
    if (!is_trained_weight(slot.name, model.geometry.family, options, adapter)) continue;
    const auto [found, is_new] = seen.emplace(slot.storage, parameters.size());
    if (is_new) {
      *slot.storage = slot.storage->to(at::kFloat).detach().requires_grad_(true);
      parameters.push_back({*slot.storage, {}, slot.shape, decays(slot.name, *slot.storage)});
    }
    parameters[found->second].parts.push_back({slot.name, slot.row, slot.rows});
  }
}

// Not decayed: zero means nothing to a logarithm.
void add_learned_scalars(LorentzScalars& scalars, std::vector<TrainedParameter>& parameters) {
  if (!scalars.is_defined()) return;
  LorentzScalars::for_each(scalars, [&](const char* name, at::Tensor& value) {
    value = value.to(at::kFloat).detach().requires_grad_(true);
    parameters.push_back({value, {{cat(kLorentzPrefix, name), 0, 0}}, {}, false});
  });
}

}  // namespace

bool is_of_towers(std::string_view name, Towers towers) {
  if (towers == Towers::kBoth) return true;
  return name.starts_with(towers == Towers::kText ? "text_" : "vis");
}

void require_applicable(const AdapterOptions& adapter, const ClipGeometry& geometry) {
  if (adapter.method != AdapterMethod::kClosedForm) return;
  const FamilyForm& family = form_of(geometry.family);
  if (adapter.form == ClosedForm::kUwm && family.pools_last_token) {
    throw ConfigError(
        cat("adapter.form: uwm: its scores are defined over the tokens of CLIP's "
            "towers, and this is a ",
            family.label,
            ", which reads its padding as text and pools pictures by attention; use "
            "project, leace or ridge with adapter.towers: text"));
  }
  if (adapter.form != ClosedForm::kUwm && adapter.towers != Towers::kText &&
      !family.has_vision_projection) {
    throw ConfigError(cat("adapter.towers: ", adapter.towers, ": the vision tower of a ",
                          family.label,
                          " ends in an attention pool with a residual sum, not in a "
                          "projection that a closed form could replace; set adapter.towers: text"));
  }
  if (adapter.form == ClosedForm::kProject && adapter.rank >= geometry.embed_dim) {
    throw ConfigError(cat("adapter.rank: ", adapter.rank, " directions, but the embeddings have ",
                          geometry.embed_dim, " in all; at most ", geometry.embed_dim - 1,
                          " can be taken out"));
  }
}

std::string lora_a_name(std::string_view module) {
  return cat(kPeftPrefix, module, ".lora_A.weight");
}

std::string lora_b_name(std::string_view module) {
  return cat(kPeftPrefix, module, ".lora_B.weight");
}

std::string mask_name(std::string_view module) { return cat(kMaskPrefix, module, ".weight"); }

std::vector<TrainedParameter> make_trainable(ClipModel& model, const ModelOptions& options,
                                             const AdapterOptions& adapter, std::uint64_t seed) {
  std::vector<TrainedParameter> parameters;
  if (adapter.method == AdapterMethod::kLora) add_lora(model, adapter, seed, parameters);
  if (adapter.method == AdapterMethod::kMask) add_masks(model, adapter, parameters);
  add_weights(model, options, adapter, parameters);
  if (parameters.empty()) {
    throw ConfigError("adapter.targets: nothing would be trained; name at least one target");
  }
  add_learned_scalars(model.lorentz, parameters);
  return parameters;
}

std::vector<NamedTensor> trained_tensors(const std::vector<TrainedParameter>& parameters) {
  std::vector<NamedTensor> tensors;
  for (const TrainedParameter& parameter : parameters) {
    for (const auto& part : parameter.parts) {
      tensors.push_back({part.name, part_view(parameter, part, parameter.tensor.detach())});
    }
  }
  return tensors;
}

void load_trained(const std::vector<TrainedParameter>& parameters,
                  const std::vector<NamedTensor>& tensors, const std::string& where) {
  const at::NoGradGuard guard;
  std::map<std::string, at::Tensor> given;
  for (const NamedTensor& named : tensors) given.emplace(named.name, named.tensor);
  std::vector<std::string> problems;
  for (const NamedTensor& wanted : trained_tensors(parameters)) {
    const auto found = given.find(wanted.name);
    if (found == given.end()) {
      problems.push_back(cat("missing: ", wanted.name));
    } else if (found->second.sizes() != wanted.tensor.sizes()) {
      problems.push_back(cat("shape: ", wanted.name, " is ", found->second.sizes(), ", expected ",
                             wanted.tensor.sizes()));
    } else {
      at::Tensor target = wanted.tensor;
      target.copy_(found->second);
    }
    if (found != given.end()) given.erase(found);
  }
  for (const auto& [name, tensor] : given) problems.push_back(cat("extra: ", name));
  if (problems.empty()) return;
  throw WeightsError(join_problems(where + ": the trained tensors do not fit this model:",
                                   shortened(problems, 20)));
}

at::Tensor scaled_change(const at::Tensor& original, const at::Tensor& tuned, double strength) {
  return strength == 1 ? tuned : original + (tuned - original) * strength;
}

void apply_trained(ClipModel& model, const std::vector<NamedTensor>& tensors,
                   const ModelOptions& options, const AdapterOptions& adapter,
                   const std::string& where, double strength) {
  const at::NoGradGuard guard;
  std::map<std::string, at::Tensor> originals;
  if (strength != 1) {
    for (const TensorSlot& slot : tensor_slots(model)) {
      if (is_trained_weight(slot.name, model.geometry.family, options, adapter)) {
        originals.emplace(slot.name, slot_view(slot).clone());
      }
    }
  }
  const std::vector<TrainedParameter> parameters = make_trainable(model, options, adapter, 0);
  load_trained(parameters, tensors, where);
  for (const TensorSlot& slot : tensor_slots(model)) {
    *slot.storage = slot.storage->detach();
    if (const auto original = originals.find(slot.name); original != originals.end()) {
      at::Tensor value = slot_view(slot);
      value.copy_(scaled_change(original->second, value, strength));
    }
  }
  LorentzScalars::for_each(model.lorentz, [](const char* /*name*/, at::Tensor& value) {
    if (value.defined()) value = value.detach();
  });
  for (LinearSlot& slot : linear_slots(model)) merge_layer(*slot.layer, strength);
}

}  // namespace saferclip
