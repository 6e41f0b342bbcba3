#include "saferclip/model/peft_adapter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "model/peft_config.h"
#include "model/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "base_model.model.";

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

struct Factors {
  at::Tensor a;
  at::Tensor b;
  bool is_embedding = false;
  // PEFT (0.21 read and measured) puts the output layer of a fused attention in twice, in training
  // as in merging; what the adapter was trained to be is W + 2 · scaling · B A.
  double times = 1;
};

struct RawAdapter {
  std::map<std::string, Factors> factors;  // by the file's module name, `base_layer` removed
  std::map<std::string, at::Tensor> whole;
  std::vector<std::string> problems;
};

std::string without(std::string text, const std::string& part) {
  if (const auto at = text.find(part); at != std::string::npos) text.erase(at, part.size());
  return text;
}

void keep_factor(RawAdapter& raw, const std::string& module, bool is_a, const at::Tensor& value,
                 bool is_embedding) {
  const std::string inner = ".base_layer.out_proj";
  Factors& factors = raw.factors[without(module, ".base_layer")];
  factors.is_embedding = is_embedding;
  if (module.ends_with(inner)) factors.times = 2;
  at::Tensor& place = is_a ? factors.a : factors.b;
  if (place.defined()) {
    raw.problems.push_back(cat(module,
                               ": stands twice: a fused attention and its out_proj were "
                               "both targets, which PEFT warns of"));
  }
  place = value;
}

RawAdapter read_raw(const TensorFile& file) {
  RawAdapter raw;
  static constexpr std::pair<const char*, int> kSuffixes[] = {{".lora_A.weight", 0},
                                                              {".lora_B.weight", 1},
                                                              {".lora_embedding_A", 2},
                                                              {".lora_embedding_B", 3}};
  for (const auto& [full, info] : file.entries) {
    const std::string name =
        full.starts_with(kPrefix) ? full.substr(std::string_view(kPrefix).size()) : full;
    const auto* found = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                     [&](const auto& s) { return name.ends_with(s.first); });
    if (found != std::end(kSuffixes)) {
      const std::string module =
          name.substr(0, name.size() - std::string_view(found->first).size());
      keep_factor(raw, module, found->second % 2 == 0, file.tensor(full).to(at::kFloat),
                  found->second > 1);
    } else if (name.find("lora_magnitude_vector") != std::string::npos) {
      raw.problems.push_back(cat(full, ": a DoRA magnitude, which is not supported"));
    } else if (name.find(".lora_") != std::string::npos) {
      raw.problems.push_back(cat(full, ": not a factor of a plain LoRA"));
    } else {
      raw.whole.emplace(without(without(name, ".modules_to_save"), ".base_layer"),
                        file.tensor(full));
    }
  }
  return raw;
}

// [r, I] and [O, r] of the canonical weight, or a problem.
void add_deltas(const std::string& module, const Factors& factors, const PeftConfig& config,
                const std::multimap<std::string, Target>& modules, PeftAdapter& adapter,
                std::vector<std::string>& problems) {
  if (!factors.a.defined() || !factors.b.defined()) {
    problems.push_back(cat(module, ": only one of its two factors is there"));
    return;
  }
  if (factors.a.dim() < 2 || factors.b.dim() < 2) {
    problems.push_back(cat(module, ": factors ", factors.a.sizes(), " and ", factors.b.sizes(),
                           " are no matrices"));
    return;
  }
  const auto [begin, end] = modules.equal_range(module);
  if (begin == end) {
    problems.push_back(cat(module, ": this model has no such layer"));
    return;
  }
  const std::int64_t rank = factors.a.size(0);
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
      problems.push_back(cat(module, ": factors ", factors.a.sizes(), " and ", factors.b.sizes(),
                             " do not fit ", outputs, " x ", inputs));
      return;
    }
    const at::Tensor part = t.third < 0 ? b : b.narrow(0, t.third * t.shape[0], t.shape[0]);
    const std::string canonical = t.canonical.substr(0, t.canonical.rfind(".weight"));
    adapter.deltas.push_back(
        {canonical, a, part, factors.times * config.scaling(module, rank), t.is_transposed});
  }
}

std::string tensor_file_name(const fs::path& folder) {
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(folder / name)) return name;
  }
  throw WeightsError(cat(folder.string(), ": no adapter_model.safetensors or adapter_model.bin"));
}

// Modules stored whole (`modules_to_save`).
void add_saved(const RawAdapter& raw, const ClipGeometry& geometry, PeftAdapter& adapter,
               std::vector<std::string>& problems) {
  std::map<std::string, std::vector<std::int64_t>> known;
  ClipModel shapes = allocate_clip(geometry, at::kFloat, at::kMeta);
  for (const TensorSlot& slot : tensor_slots(shapes)) known.emplace(slot.name, slot.shape);
  for (const auto& [name, tensor] : raw.whole) {
    const auto found = known.find(name);
    if (found == known.end()) {
      problems.push_back(cat(name, ": this model has no such tensor"));
    } else if (tensor.sizes() != at::IntArrayRef(found->second)) {
      problems.push_back(cat(name, ": shape ", tensor.sizes(), ", the model has ",
                             at::IntArrayRef(found->second)));
    } else {
      adapter.saved.push_back({name, tensor});
    }
  }
}

at::Tensor merged(const at::Tensor& base, const LoraDelta& delta) {
  at::Tensor update = at::mm(delta.b, delta.a);
  if (delta.is_transposed) update = update.t();
  return base.to(at::kFloat) + (update * delta.scaling).reshape(base.sizes());
}

}  // namespace

PeftAdapter read_peft_adapter(const fs::path& folder, const ClipGeometry& geometry) {
  const at::NoGradGuard guard;
  const PeftConfig config = read_peft_config(folder);
  const fs::path path = folder / tensor_file_name(folder);
  const TensorFile file = open_tensor_file(path);
  RawAdapter raw = read_raw(file);
  const auto modules = known_modules(geometry);
  PeftAdapter adapter;
  adapter.folder = folder;
  std::vector<std::string> problems = std::move(raw.problems);
  for (const auto& [module, factors] : raw.factors) {
    add_deltas(module, factors, config, modules, adapter, problems);
  }
  add_saved(raw, geometry, adapter, problems);
  if (problems.empty() && adapter.deltas.empty()) problems.push_back("it holds no LoRA factors");
  if (problems.size() > 20) {
    const std::size_t more = problems.size() - 20;
    problems.resize(20);
    problems.push_back(cat("… and ", more, " more"));
  }
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(cat(path.string(), ": does not fit ", to_string(geometry), ":"), problems));
  }
  adapter.hash = Sha256().part(sha256_file(path)).part(config.decisive).hex();
  return adapter;
}

void merge_adapter(WeightsSource& source, const fs::path& folder) {
  const auto adapter =
      std::make_shared<const PeftAdapter>(read_peft_adapter(folder, source.geometry));
  std::map<std::string, const LoraDelta*> deltas;
  for (const LoraDelta& delta : adapter->deltas) deltas.emplace(delta.module + ".weight", &delta);
  std::map<std::string, at::Tensor> saved;
  for (const NamedTensor& named : adapter->saved) saved.emplace(named.name, named.tensor);
  source.later_hash = std::async(std::launch::deferred, [base = source.later_hash, adapter] {
                        return Sha256().part(base.get()).part(adapter->hash).hex();
                      }).share();
  source.tensor = [base = source.tensor, adapter, deltas, saved](const std::string& name) {
    const at::NoGradGuard guard;
    const auto whole = saved.find(name);
    const at::Tensor value = whole != saved.end() ? whole->second : base(name);
    const auto delta = deltas.find(name);
    return delta == deltas.end() ? value : merged(value, *delta->second);
  };
}

void start_from_adapter(const std::vector<TrainedParameter>& parameters, const PeftAdapter& adapter,
                        const AdapterOptions& options) {
  const at::NoGradGuard guard;
  std::map<std::string, at::Tensor> leaves;
  for (const TrainedParameter& parameter : parameters) {
    for (const auto& part : parameter.parts) {
      leaves.emplace(part.name, part_view(parameter, part, parameter.tensor.detach()));
    }
  }
  const double own = options.alpha / static_cast<double>(options.rank);
  std::vector<std::string> problems;
  const auto copy = [&](const std::string& name, const at::Tensor& value) {
    const auto leaf = leaves.find(name);
    if (leaf == leaves.end()) {
      problems.push_back(cat(name, ": not trained by this configuration (adapter.targets)"));
    } else if (leaf->second.numel() != value.numel()) {
      problems.push_back(cat(name, ": the adapter has ", value.sizes(), ", adapter.rank ",
                             options.rank, " makes ", leaf->second.sizes()));
    } else {
      leaf->second.copy_(value.reshape(leaf->second.sizes()));
    }
  };
  for (const LoraDelta& delta : adapter.deltas) {
    if (std::abs(delta.scaling - own) > 1e-9 * std::abs(own)) {
      problems.push_back(cat(delta.module, ": scaling ", delta.scaling, "; set adapter.alpha to ",
                             delta.scaling * static_cast<double>(options.rank)));
    }
    copy(kPrefix + delta.module + ".lora_A.weight", delta.a);
    copy(kPrefix + delta.module + ".lora_B.weight", delta.b);
  }
  for (const NamedTensor& named : adapter.saved) copy(named.name, named.tensor);
  if (problems.empty()) return;
  if (problems.size() > 12) {
    const std::size_t more = problems.size() - 12;
    problems.resize(12);
    problems.push_back(cat("… and ", more, " more"));
  }
  throw ConfigError(join_problems(
      cat("adapter.start_from ", adapter.folder.string(), ": does not fit:"), problems));
}

}  // namespace saferclip
