#include "saferclip/weights/peft_adapter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "weights/lora_factors.h"
#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "base_model.model.";

at::Tensor merged(const at::Tensor& base, const LoraDelta& delta) {
  at::Tensor update = at::mm(delta.b, delta.a);
  if (delta.is_transposed) update = update.t();
  return base.to(at::kFloat) + (update * delta.scaling).reshape(base.sizes());
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
  adapter.hash = Sha256().part(sha256_file(content.file)).part(content.config.decisive).hex();
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
  throw ConfigError(
      join_problems(cat("adapter.start_from ", adapter.path.string(), ": does not fit:"),
                    shortened(problems, 12)));
}

}  // namespace saferclip
