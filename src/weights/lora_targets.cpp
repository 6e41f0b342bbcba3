// Maps a file's LoRA factors to the model's weights. A file uses the module names of the model that
// it was trained on: Hugging Face's, OpenAI's or timm's, of a whole model, one tower or something
// larger. All of these are tried before a factor is reported as not fitting.
#include "weights/lora_targets.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"
#include "weights/open_clip.h"
#include "weights/openai.h"

namespace saferclip {
namespace {

// The canonical weights behind a file's module name: one, or q, k and v.
struct Target {
  std::string canonical;  // tensor name
  std::vector<std::int64_t> shape;
  std::int64_t third = -1;
  bool is_transposed = false;
};

using Modules = std::multimap<std::string, Target>;

constexpr std::string_view kWeight = ".weight";

// `name` without its ending `end`.
std::string without_end(const std::string& name, std::string_view end) {
  return name.substr(0, name.size() - end.size());
}

// Module names of all three ecosystems. A fused projection is `…attn` (CLIP) or `…attn.qkv` (timm);
// PEFT stores CLIP's output layer under `…attn.base_layer.out_proj`.
Modules known_modules(const ClipGeometry& geometry) {
  Modules modules;
  for (const TensorForm& form : tensor_forms(geometry)) {
    if (!form.name.ends_with(kWeight) || form.shape.size() < 2) continue;
    const bool is_table = form.name.find("_embedding.weight") != std::string::npos &&
                          form.name.find("patch") == std::string::npos;
    const Target target{
        .canonical = form.name, .shape = form.shape, .third = -1, .is_transposed = is_table};
    modules.emplace(without_end(form.name, kWeight), target);
    const SourceTensor from = open_clip_tensor(geometry.family, form.name);
    Target part = target;
    part.third = from.third;
    for (const char* prefix : {"", kTextPrefix}) {
      if (*prefix != '\0' && from.name.starts_with("visual.")) continue;
      // nn.MultiheadAttention's fused projection is a parameter of the attention module.
      for (const std::string_view end : {std::string_view(".in_proj_weight"), kWeight}) {
        if (from.name.ends_with(end)) modules.emplace(prefix + without_end(from.name, end), part);
      }
    }
  }
  return modules;
}

// Turns a file's module names into those of a whole model. PEFT's names begin at "encoder." when it
// was applied to a single tower, which transformers 5 flattened, and with that model's prefix when
// it was applied to a larger model.
struct Naming {
  std::string removed;
  std::string added;

  std::string operator()(const std::string& name) const {
    return added + (name.starts_with(removed) ? name.substr(removed.size()) : name);
  }
};

// A module's deltas for the weights behind its name, or why they do not fit.
struct Placed {
  std::vector<LoraDelta> deltas;
  std::string problem;  // empty: none
};

std::string malformation(const LoraFactors& factors) {
  if (!factors.a.defined() || !factors.b.defined()) return "only one of its two factors is present";
  if (factors.a.dim() >= 2 && factors.b.dim() >= 2) return "";
  return cat("factors ", factors.a.sizes(), " and ", factors.b.sizes(), " are not matrices");
}

// A [r, I] and B [O, r] of one weight; for a fused projection its third of the rows.
Placed place_on(const Target& target, const LoraFactors& factors, double scaling) {
  const at::Tensor a = factors.a.flatten(1);
  const at::Tensor b = factors.b.flatten(1);
  const std::int64_t rank = a.size(0);
  std::int64_t inputs = 1;
  for (std::size_t i = 1; i < target.shape.size(); ++i) inputs *= target.shape[i];
  std::int64_t outputs = target.shape[0] * (target.third >= 0 ? 3 : 1);
  if (target.is_transposed) std::swap(inputs, outputs);
  if (target.is_transposed != factors.is_embedding || a.size(1) != inputs || b.size(0) != outputs ||
      b.size(1) != rank || rank < 1) {
    return {{},
            cat("factors ", factors.a.sizes(), " and ", factors.b.sizes(), " do not fit ", outputs,
                " x ", inputs)};
  }
  const std::int64_t rows = target.shape[0];
  const at::Tensor part = target.third < 0 ? b : b.narrow(0, target.third * rows, rows);
  return {{{without_end(target.canonical, kWeight), a, part, scaling, target.is_transposed}}, ""};
}

Placed place(const LoraFactors& factors, const PeftConfig& config, const std::string& module,
             const Modules& modules) {
  if (std::string problem = malformation(factors); !problem.empty()) return {{}, problem};
  const auto [begin, end] = modules.equal_range(module);
  if (begin == end) return {{}, "this model has no such layer"};
  const std::int64_t rank = factors.a.size(0);
  if (std::string problem = config.problem_of(factors.peft_name, rank); !problem.empty()) {
    return {{}, problem};
  }
  const double scaling = factors.alpha ? *factors.alpha / static_cast<double>(rank)
                                       : config.scaling(factors.peft_name, rank);
  Placed all;
  for (auto target = begin; target != end; ++target) {
    Placed one = place_on(target->second, factors, factors.times * scaling);
    if (!one.problem.empty()) return one;
    all.deltas.push_back(std::move(one.deltas.front()));
  }
  return all;
}

// "text_model." or "vision_model." for names that begin at "encoder.": from auto_mapping, else the
// only tower that all factors fit. A problem if both do.
std::string tower_of(const LoraContent& content, const std::string& removed,
                     const std::vector<std::string>& fitting, const Modules& modules,
                     std::vector<std::string>& problems) {
  std::vector<std::string> left;
  for (const std::string& tower : fitting) {
    const Naming naming{removed, tower};
    const bool fits =
        std::all_of(content.factors.begin(), content.factors.end(), [&](const auto& entry) {
          return place(entry.second, content.config, naming(entry.first), modules).problem.empty();
        });
    if (fits) left.push_back(tower);
  }
  if (left.size() > 1) {
    problems.push_back(cat(content.factors.begin()->first,
                           ": the name does not say which tower, and both have such layers; "
                           "set auto_mapping in adapter_config.json to "
                           "{\"base_model_class\": \"CLIPTextModel\"} or \"CLIPVisionModel\""));
  }
  return left.empty() ? fitting.front() : left.front();
}

std::vector<std::string> towers_of_class(const std::string& base_class) {
  if (base_class.ends_with("TextModel")) return {"text_model."};
  if (base_class.ends_with("VisionModel")) return {"vision_model."};
  return {"text_model.", "vision_model."};
}

Naming find_naming(const LoraContent& content, const Modules& modules,
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
    // Tries without one more leading component that all names share.
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

// Places modules stored whole (`modules_to_save`).
void add_saved(const LoraContent& content, const Naming& naming, const ClipGeometry& geometry,
               PeftAdapter& adapter, std::vector<std::string>& problems) {
  std::map<std::string, std::vector<std::int64_t>> known;
  for (const TensorForm& form : tensor_forms(geometry)) known.emplace(form.name, form.shape);
  for (const auto& [name, tensor] : content.whole) {
    auto found = known.find(name);
    if (found == known.end()) found = known.find(naming(name));
    if (found == known.end()) {
      problems.push_back(cat(name, ": this model has no such tensor"));
    } else if (tensor.sizes() != at::IntArrayRef(found->second)) {
      problems.push_back(cat(name, ": has shape ", tensor.sizes(), ", the model has ",
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
    Placed placed = place(factors, content.config, naming(name), modules);
    if (!placed.problem.empty()) problems.push_back(cat(name, ": ", placed.problem));
    for (LoraDelta& delta : placed.deltas) adapter.deltas.push_back(std::move(delta));
  }
  add_saved(content, naming, geometry, adapter, problems);
  if (problems.empty() && adapter.deltas.empty())
    problems.emplace_back("it contains no LoRA factors");
}

}  // namespace saferclip
