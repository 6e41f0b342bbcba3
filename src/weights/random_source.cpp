// Random initialization. CLIP by OpenAI's rules: scaled normals for the text tower, embeddings and
// projections, PyTorch's layer defaults for the vision tower's blocks. SigLIP as in transformers,
// after big_vision: Xavier in the blocks, LeCun normals outside. A tensor's numbers depend on the
// seed and its name alone.
#include "weights/random_source.h"

#include <ATen/ATen.h>

#include <cmath>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "saferclip/core/hash.h"
#include "saferclip/core/rng.h"
#include "saferclip/model/tensor_slots.h"
#include "weights/hugging_face.h"
#include "weights/hugging_face_config.h"
#include "weights/json_fields.h"
#include "weights/tensor_layout.h"

namespace saferclip {
namespace {

// A generator whose draws depend on the seed and on the tensor's name, not on the order of tensors.
at::Generator generator_for(const std::string& name, std::uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU).clone();
  generator.set_current_seed(mix_text(seed, name));
  return generator;
}

// Standard deviation of OpenAI's normal for a tensor; 0: another rule.
double openai_std(const std::string& name, const ClipGeometry& g) {
  const bool is_text = name.starts_with("text_");
  const auto width = static_cast<double>(is_text ? g.text.width : g.vision.width);
  if (name.ends_with("token_embedding.weight")) return 0.02;
  if (is_text && name.ends_with("position_embedding.weight")) return 0.01;
  if (name.ends_with("projection.weight") || name.ends_with("class_embedding") ||
      name.ends_with("position_embedding.weight")) {
    return 1 / std::sqrt(width);
  }
  if (!is_text || !name.ends_with(".weight")) return 0;
  const double depth = 1 / std::sqrt(2.0 * static_cast<double>(g.text.layers));
  if (name.find("out_proj") != std::string::npos || name.find("fc2") != std::string::npos) {
    return depth / std::sqrt(width);
  }
  if (name.find("fc1") != std::string::npos) return 1 / std::sqrt(2 * width);
  return name.find("_proj") != std::string::npos ? 1 / std::sqrt(width) : 0;
}

// Half-width of PyTorch's uniform default; 0: zeros.
double uniform_bound(const std::string& name, const TensorForm& form, const ClipGeometry& g) {
  const TowerGeometry& tower = name.starts_with("text_") ? g.text : g.vision;
  const bool is_bias = name.ends_with(".bias");
  if (name.find("self_attn") != std::string::npos) {
    if (is_bias) return 0;
    const bool is_fused = name.find("out_proj") == std::string::npos;
    // nn.MultiheadAttention: Xavier over the fused [3D, D] projection.
    return is_fused ? std::sqrt(6.0 / static_cast<double>(4 * tower.width))
                    : 1 / std::sqrt(static_cast<double>(tower.width));
  }
  std::int64_t fan_in = tower.width;
  if (name.find("fc2") != std::string::npos) fan_in = tower.mlp_width;
  if (form.shape.size() == 4) fan_in = form.shape[1] * form.shape[2] * form.shape[3];
  return 1 / std::sqrt(static_cast<double>(fan_in));
}

at::Tensor clip_tensor(const TensorForm& form, const ClipGeometry& g, std::uint64_t seed) {
  const std::string& name = form.name;
  at::Tensor value = at::zeros(form.shape);
  if (name == "logit_scale") return value.fill_(std::log(1 / 0.07));
  const double std = openai_std(name, g);
  if (std > 0) return value.normal_(0, std, generator_for(name, seed));
  const double bound = uniform_bound(name, form, g);
  return bound > 0 ? value.uniform_(-bound, bound, generator_for(name, seed)) : value;
}

at::Tensor siglip_tensor(const TensorForm& form, const ClipGeometry& g, std::uint64_t seed) {
  const std::string& name = form.name;
  at::Tensor value = at::zeros(form.shape);
  const auto is_part = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (name == "logit_scale") return value.fill_(std::log(10.0));
  if (name == "logit_bias") return value.fill_(-10);
  const bool is_text = name.starts_with("text_");
  const auto width = static_cast<double>(is_text ? g.text.width : g.vision.width);
  if (name.ends_with("bias")) {
    return is_part(".mlp.") ? value.normal_(0, 1e-6, generator_for(name, seed)) : value;
  }
  if (is_part("self_attn") || is_part(".mlp.") || is_part("head.attention") || is_part("probe")) {
    const double fans =
        is_part("probe") ? 2 * width : static_cast<double>(form.shape[0] + form.shape[1]);
    const double bound = std::sqrt(6 / fans);
    return value.uniform_(-bound, bound, generator_for(name, seed));
  }
  const double fan_in = form.shape.size() == 4 ? static_cast<double>(value.numel()) /
                                                     static_cast<double>(form.shape[0])
                                               : width;
  return value.normal_(0, 1 / std::sqrt(fan_in), generator_for(name, seed));
}

at::Tensor initial_tensor(const TensorForm& form, const ClipGeometry& g, std::uint64_t seed) {
  const std::string& name = form.name;
  if (name.find("norm") != std::string::npos || name.find("layrnorm") != std::string::npos) {
    return at::full(form.shape, name.ends_with(".weight") ? 1.0 : 0.0, at::kFloat);
  }
  return g.family == Family::kClip ? clip_tensor(form, g, seed) : siglip_tensor(form, g, seed);
}

}  // namespace

WeightsSource open_random(const std::filesystem::path& architecture, const ModelOptions& options,
                          std::uint64_t seed) {
  WeightsSource source;
  source.path = architecture;
  source.layout = WeightsLayout::kRandom;
  read_json_file(architecture, [&](const nlohmann::json& json) {
    read_architecture(json, architecture.string(), options, source);
    std::promise<std::string> hash;
    hash.set_value(
        Sha256().add("random").add(json.dump()).add(static_cast<std::int64_t>(seed)).hex());
    source.later_hash = hash.get_future().share();
  });
  apply_habits(kHuggingFaceLayout, source);
  check_geometry(source);
  std::map<std::string, TensorForm> forms;
  for (const TensorForm& form : tensor_forms(source.geometry)) forms.emplace(form.name, form);
  source.tensor = [forms, seed, geometry = source.geometry](const std::string& name) {
    return initial_tensor(forms.at(name), geometry, seed);
  };
  return source;
}

}  // namespace saferclip
