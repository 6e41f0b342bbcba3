// Which weights of the model a file's LoRA factors belong to.
#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "weights/lora_factors.h"
#include "weights/sources.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// The canonical weights that stand behind a module name of a file: one, or q, k and v.
struct Target {
  std::string canonical;  // tensor name
  std::vector<std::int64_t> shape;
  std::int64_t third = -1;
  bool is_transposed = false;
};

// Module names of all three ecosystems. A fused projection appears as `…attn` (CLIP) or `…attn.qkv`
// (timm), and PEFT keeps CLIP's output layer under `…attn.base_layer.out_proj`.
std::multimap<std::string, Target> known_modules(const ClipGeometry& geometry) {
  std::multimap<std::string, Target> modules;
  ClipModel shapes = allocate_clip(geometry, at::kFloat, at::kMeta);
  const std::string weight = ".weight";
  for (const TensorSlot& slot : tensor_slots(shapes)) {
    if (!slot.name.ends_with(weight) || slot.shape.size() < 2) continue;
    const bool is_table = slot.name.find("_embedding.weight") != std::string::npos &&
                          slot.name.find("patch") == std::string::npos;
    const Target target{slot.name, slot.shape, -1, is_table};
    modules.emplace(slot.name.substr(0, slot.name.size() - weight.size()), target);
    const SourceTensor from = open_clip_name(geometry.family, slot.name);
    Target part = target;
    part.third = from.third;
    for (const char* prefix : {"", "text."}) {
      if (*prefix != '\0' && from.name.starts_with("visual.")) continue;
      // nn.MultiheadAttention's fused projection is a parameter of the attention module.
      for (const std::string& end : {std::string(".in_proj_weight"), weight}) {
        if (!from.name.ends_with(end)) continue;
        modules.emplace(prefix + from.name.substr(0, from.name.size() - end.size()), part);
      }
    }
  }
  return modules;
}

// What makes a file's module names those of a whole model: PEFT on a tower alone, which
// transformers 5 flattened, begins at "encoder."; on a larger model at that model's own names.
struct Naming {
  std::string removed;
  std::string added;

  std::string operator()(const std::string& name) const {
    return added + (name.starts_with(removed) ? name.substr(removed.size()) : name);
  }
};

// [r, I] and [O, r] of the canonical weight, or a problem.
void add_deltas(const std::string& name, const LoraFactors& factors, const PeftConfig& config,
                const Naming& naming, const std::multimap<std::string, Target>& modules,
                PeftAdapter& adapter, std::vector<std::string>& problems) {
  const std::string module = naming(name);
  if (!factors.a.defined() || !factors.b.defined()) {
    problems.push_back(cat(name, ": only one of its two factors is there"));
    return;
  }
  if (factors.a.dim() < 2 || factors.b.dim() < 2) {
    problems.push_back(
        cat(name, ": factors ", factors.a.sizes(), " and ", factors.b.sizes(), " are no matrices"));
    return;
  }
  const auto [begin, end] = modules.equal_range(module);
  if (begin == end) {
    problems.push_back(cat(name, ": this model has no such layer"));
    return;
  }
  const std::int64_t rank = factors.a.size(0);
  if (const auto problem = config.problem_of(factors.peft_name, rank); !problem.empty()) {
    problems.push_back(cat(name, ": ", problem));
    return;
  }
  const double scaling = factors.alpha ? *factors.alpha / static_cast<double>(rank)
                                       : config.scaling(factors.peft_name, rank);
  const at::Tensor a = factors.a.flatten(1);
  const at::Tensor b = factors.b.flatten(1);
  for (auto target = begin; target != end; ++target) {
    const Target& t = target->second;
    std::int64_t inputs = 1;
    for (std::size_t i = 1; i < t.shape.size(); ++i) inputs *= t.shape[i];
    std::int64_t outputs = t.shape[0] * (t.third >= 0 ? 3 : 1);
    if (t.is_transposed) std::swap(inputs, outputs);
    if (t.is_transposed != factors.is_embedding || a.size(1) != inputs || b.size(0) != outputs ||
        b.size(1) != rank || rank < 1) {
      problems.push_back(cat(name, ": factors ", factors.a.sizes(), " and ", factors.b.sizes(),
                             " do not fit ", outputs, " x ", inputs));
      return;
    }
    const at::Tensor part = t.third < 0 ? b : b.narrow(0, t.third * t.shape[0], t.shape[0]);
    const std::string canonical = t.canonical.substr(0, t.canonical.rfind(".weight"));
    adapter.deltas.push_back({canonical, a, part, factors.times * scaling, t.is_transposed});
  }
}

// "text_model." or "vision_model." for names that begin at "encoder.": as auto_mapping says, else
// the only tower that all factors fit. A problem when that leaves both.
std::string tower_of(const LoraContent& content, const std::string& removed,
                     const std::vector<std::string>& fitting,
                     const std::multimap<std::string, Target>& modules,
                     std::vector<std::string>& problems) {
  std::vector<std::string> left;
  for (const std::string& tower : fitting) {
    PeftAdapter unused;
    std::vector<std::string> misfits;
    for (const auto& [name, factors] : content.factors) {
      add_deltas(name, factors, content.config, {removed, tower}, modules, unused, misfits);
    }
    if (misfits.empty()) left.push_back(tower);
  }
  if (left.size() > 1) {
    problems.push_back(cat(content.factors.begin()->first,
                           ": a name of one tower alone, and both have such layers; "
                           "adapter_config.json says which with auto_mapping: "
                           "{\"base_model_class\": \"CLIPTextModel\"} or \"CLIPVisionModel\""));
  }
  return left.empty() ? fitting.front() : left.front();
}

std::vector<std::string> towers_of_class(const std::string& base_class) {
  if (base_class.ends_with("TextModel")) return {"text_model."};
  if (base_class.ends_with("VisionModel")) return {"vision_model."};
  return {"text_model.", "vision_model."};
}

Naming find_naming(const LoraContent& content, const std::multimap<std::string, Target>& modules,
                   std::vector<std::string>& problems) {
  const auto fits = [&](const Naming& naming) {
    return std::all_of(content.factors.begin(), content.factors.end(),
                       [&](const auto& entry) { return modules.contains(naming(entry.first)); });
  };
  Naming naming;
  while (!content.factors.empty()) {
    if (fits(naming)) return naming;
    std::vector<std::string> fitting;
    for (const std::string& tower : towers_of_class(content.config.base_class)) {
      if (fits({naming.removed, tower})) fitting.push_back(tower);
    }
    if (!fitting.empty()) {
      return {naming.removed, tower_of(content, naming.removed, fitting, modules, problems)};
    }
    // One more leading component that all names share.
    const std::string& first = content.factors.begin()->first;
    const std::size_t dot = first.find('.', naming.removed.size());
    if (dot == std::string::npos) break;
    naming.removed = first.substr(0, dot + 1);
    const bool is_common =
        std::all_of(content.factors.begin(), content.factors.end(),
                    [&](const auto& entry) { return entry.first.starts_with(naming.removed); });
    if (!is_common) break;
  }
  return {};
}

// Modules stored whole (`modules_to_save`).
void add_saved(const LoraContent& content, const Naming& naming, const ClipGeometry& geometry,
               PeftAdapter& adapter, std::vector<std::string>& problems) {
  std::map<std::string, std::vector<std::int64_t>> known;
  ClipModel shapes = allocate_clip(geometry, at::kFloat, at::kMeta);
  for (const TensorSlot& slot : tensor_slots(shapes)) known.emplace(slot.name, slot.shape);
  for (const auto& [name, tensor] : content.whole) {
    auto found = known.find(name);
    if (found == known.end()) found = known.find(naming(name));
    if (found == known.end()) {
      problems.push_back(cat(name, ": this model has no such tensor"));
    } else if (tensor.sizes() != at::IntArrayRef(found->second)) {
      problems.push_back(cat(name, ": shape ", tensor.sizes(), ", the model has ",
                             at::IntArrayRef(found->second)));
    } else {
      adapter.saved.push_back({found->first, tensor});
    }
  }
}

}  // namespace

void place_factors(const LoraContent& content, const ClipGeometry& geometry, PeftAdapter& adapter,
                   std::vector<std::string>& problems) {
  const auto modules = known_modules(geometry);
  const Naming naming = find_naming(content, modules, problems);
  for (const auto& [name, factors] : content.factors) {
    add_deltas(name, factors, content.config, naming, modules, adapter, problems);
  }
  add_saved(content, naming, geometry, adapter, problems);
  if (problems.empty() && adapter.deltas.empty()) problems.emplace_back("it holds no LoRA factors");
}

}  // namespace saferclip
