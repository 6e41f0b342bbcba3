// Random initialisation by the rules of OpenAI's CLIP: scaled normals for the text tower,
// embeddings and projections, PyTorch's layer defaults for the vision tower's blocks.
#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/rng.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// A generator whose draws depend on the seed and on the tensor's name, not on the order of tensors.
at::Generator generator_for(const std::string& name, std::uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU).clone();
  generator.set_current_seed(mix_text(seed, name));
  return generator;
}

// Standard deviation of the normal that OpenAI draws a tensor from; 0: another rule.
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
double uniform_bound(const std::string& name, const TensorSlot& slot, const ClipGeometry& g) {
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
  if (slot.shape.size() == 4) fan_in = slot.shape[1] * slot.shape[2] * slot.shape[3];
  return 1 / std::sqrt(static_cast<double>(fan_in));
}

at::Tensor initial_tensor(const TensorSlot& slot, const ClipGeometry& g, std::uint64_t seed) {
  const std::string& name = slot.name;
  at::Tensor value = at::zeros(slot.shape);
  if (name == "logit_scale") return value.fill_(std::log(1 / 0.07));
  const bool is_norm =
      name.find("norm") != std::string::npos || name.find("layrnorm") != std::string::npos;
  if (is_norm) return name.ends_with(".weight") ? value.fill_(1) : value;
  const double std = openai_std(name, g);
  if (std > 0) return value.normal_(0, std, generator_for(name, seed));
  const double bound = uniform_bound(name, slot, g);
  return bound > 0 ? value.uniform_(-bound, bound, generator_for(name, seed)) : value;
}

}  // namespace

WeightsSource open_random(const std::filesystem::path& architecture, const ModelOptions& options,
                          std::uint64_t seed) {
  WeightsSource source;
  source.path = architecture;
  source.layout = WeightsLayout::kRandom;
  read_json_file(architecture, [&](const nlohmann::json& json) {
    read_hugging_face_config(json, architecture.string(), options, source);
    if (json.contains("preprocessing")) {
      read_preprocessor_config(json["preprocessing"], architecture.string(), source);
    }
    source.hash =
        Sha256().part("random").part(json.dump()).part(static_cast<std::int64_t>(seed)).hex();
  });
  source.text.cleaning = TextCleaning::kHuggingFace;
  check_geometry(source);
  ClipModel shapes = allocate_clip(source.geometry, at::kFloat, at::kMeta);
  std::map<std::string, TensorSlot> slots;
  for (const TensorSlot& slot : tensor_slots(shapes)) slots.emplace(slot.name, slot);
  source.tensor = [slots, seed, geometry = source.geometry](const std::string& name) {
    return initial_tensor(slots.at(name), geometry, seed);
  };
  return source;
}

}  // namespace saferclip
