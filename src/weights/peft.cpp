// Adapters are read, merged into a source, used to start training, and written here. Merging is
// lazy: a weight gets its delta when it is read, in fp32, and the base file stays mapped. Reading
// the file formats is in lora_factors.cpp and lora_file.cpp, matching names to weights in
// lora_targets.cpp.
#include "saferclip/weights/peft.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "weights/lora_factors.h"
#include "weights/lora_targets.h"
#include "weights/peft_config.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

at::Tensor merged(const at::Tensor& base, const LoraDelta& delta) {
  at::Tensor update = at::mm(delta.b, delta.a);
  if (delta.is_transposed) update = update.t();
  return base.to(at::kFloat) + (update * delta.scaling).reshape(base.sizes());
}

void require_adapter(const ModelOptions& model, const AdapterOptions& adapter) {
  if (adapter.method == AdapterMethod::kClosedForm) {
    throw ConfigError(
        "--to peft: this run solved for whole weight matrices (adapter.method: closed_form), so "
        "there is no adapter; use --to hf");
  }
  if (adapter.method == AdapterMethod::kMask) {
    throw ConfigError(
        "--to peft: this run switched single weights off (adapter.method: mask), which no low-rank "
        "adapter can carry; use --to hf, which adds the masks as a file");
  }
  if (adapter.method != AdapterMethod::kLora) {
    throw ConfigError(
        "--to peft: this run trained the full weights, so there is no adapter; use --to hf");
  }
  if (model.train_logit_scale) {
    throw ConfigError(
        "--to peft: this run trained the logit scale or bias, which an adapter cannot carry; use "
        "--to hf");
  }
  if (!model.adapter.empty() || fs::exists(fs::path(model.weights) / kPeftConfigFile)) {
    throw ConfigError(
        "--to peft: this run started from weights with another adapter merged in, so its adapter "
        "does not fit any base model; use --to hf");
  }
  if (model.image_size) {
    throw ConfigError(
        "--to peft: this run changed model.image_size, which an adapter cannot carry; use --to hf");
  }
}

// The requested towers among those that the adapter is on.
Towers adapted_tower(const AdapterOptions& adapter, Towers asked) {
  if (adapter.towers == Towers::kBoth) return asked;
  if (asked != Towers::kBoth && asked != adapter.towers) {
    throw ConfigError(cat("--tower: this run's adapter is only on the ", adapter.towers,
                          " tower (adapter.towers)"));
  }
  return adapter.towers;
}

}  // namespace

PeftAdapter read_peft_adapter(const fs::path& path, const ClipGeometry& geometry) {
  const at::NoGradGuard guard;
  const LoraContent content = read_lora(path, geometry);
  PeftAdapter adapter;
  adapter.path = path;
  adapter.notes = content.notes;
  std::vector<std::string> problems = content.problems;
  place_factors(content, geometry, adapter, problems);
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(cat(content.file.string(), ": does not fit ", to_string(geometry), ":"),
                      shortened(problems, 20)));
  }
  adapter.hash = Sha256().add(sha256_file(content.file)).add(content.config.decisive).hex();
  return adapter;
}

void merge_adapter(WeightsSource& source, const fs::path& path) {
  const auto adapter =
      std::make_shared<const PeftAdapter>(read_peft_adapter(path, source.geometry));
  source.notes.insert(source.notes.end(), adapter->notes.begin(), adapter->notes.end());
  std::map<std::string, const LoraDelta*> deltas;
  for (const LoraDelta& delta : adapter->deltas) deltas.emplace(delta.module + ".weight", &delta);
  std::map<std::string, at::Tensor> saved;
  for (const NamedTensor& named : adapter->saved) saved.emplace(named.name, named.tensor);
  source.later_hash = std::async(std::launch::deferred, [base = source.later_hash, adapter] {
                        return Sha256().add(base.get()).add(adapter->hash).hex();
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
      problems.push_back(cat(name, ": the adapter has ", value.sizes(), ", but adapter.rank ",
                             options.rank, " gives ", leaf->second.sizes()));
    } else {
      leaf->second.copy_(value.reshape(leaf->second.sizes()));
    }
  };
  for (const LoraDelta& delta : adapter.deltas) {
    if (std::abs(delta.scaling - own) > 1e-9 * std::abs(own)) {
      problems.push_back(cat(delta.module, ": has scaling ", delta.scaling,
                             "; set adapter.alpha to ",
                             delta.scaling * static_cast<double>(options.rank)));
    }
    copy(lora_a_name(delta.module), delta.a);
    copy(lora_b_name(delta.module), delta.b);
  }
  for (const NamedTensor& named : adapter.saved) copy(named.name, named.tensor);
  if (problems.empty()) return;
  throw ConfigError(
      join_problems(cat("adapter.start_from ", adapter.path.string(), ": does not fit:"),
                    shortened(problems, 12)));
}

FolderContents adapter_contents(const AdapterRequest& request) {
  require_adapter(request.model, request.adapter);
  const Towers tower = adapted_tower(request.adapter, request.tower);
  FolderContents contents;
  std::vector<std::string> saved;
  for (const NamedTensor& named : request.trained) {
    if (named.name.starts_with(kLorentzPrefix)) continue;  // no weights: hysac.json has them
    const bool is_factor = named.name.starts_with(kPeftPrefix);
    const std::string module = is_factor ? named.name.substr(kPeftPrefix.size()) : named.name;
    if (!is_of_towers(module, tower)) continue;
    if (is_factor) {
      contents.tensors.push_back({named.name, named.tensor.to(request.dtype)});
      continue;
    }
    const at::Tensor base =
        request.source.tensor(named.name).to(at::kFloat).reshape(named.tensor.sizes());
    contents.tensors.push_back(
        {cat(kPeftPrefix, named.name),
         scaled_change(base, named.tensor, request.strength).to(request.dtype)});
    const std::string whole = named.name.substr(0, named.name.rfind('.'));
    if (saved.empty() || saved.back() != whole) saved.push_back(whole);
  }
  contents.tensor_file = kAdapterFile;
  contents.texts = {
      {kPeftConfigFile, peft_config_text({request.adapter, request.source.geometry.family, tower,
                                          request.base_name, saved, request.strength})}};
  return contents;
}

}  // namespace saferclip
