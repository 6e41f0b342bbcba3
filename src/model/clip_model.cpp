// Allocates models and converts their storage for a device or a run. Tensor dtypes are decided here
// alone: weights and biases of matrix products follow `matmul_dtype`; everything else stays fp32,
// because LayerNorms, embeddings and scalars cost little and would lose much in bf16.
#include "saferclip/model/clip_model.h"

#include <ATen/ATen.h>

#include <vector>

#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

constexpr std::int64_t kUsualCaptionLength = 16;  // tokens, after cutting to the longest of a batch

std::vector<at::Tensor*> matmul_weights(ClipModel& model) {
  std::vector<at::Tensor*> weights{&model.vision.projection,    &model.text.projection,
                                   &model.text.projection_bias, &model.vision.pool.in.weight,
                                   &model.vision.pool.in.bias,  &model.vision.pool.out.weight,
                                   &model.vision.pool.out.bias};
  for (LinearSlot& slot : linear_slots(model)) {
    if (slot.row == 0) {
      weights.push_back(&slot.layer->weight);
      weights.push_back(&slot.layer->bias);
    }
  }
  return weights;
}

// Makes tensors and layers of one dtype on one device.
struct Allocator {
  at::TensorOptions options;
  double norm_eps = 0;

  at::Tensor tensor(at::IntArrayRef shape) const { return at::empty(shape, options); }
  Linear linear(std::int64_t out, std::int64_t in) const {
    Linear layer;
    layer.weight = tensor({out, in});
    layer.bias = tensor({out});
    return layer;
  }
  LayerNorm norm(std::int64_t width) const {
    return LayerNorm{tensor({width}), tensor({width}), norm_eps};
  }
};

Transformer allocate_transformer(const Allocator& make, const TowerGeometry& tower,
                                 bool is_causal) {
  Transformer transformer;
  transformer.heads = tower.heads;
  transformer.activation = tower.activation;
  transformer.is_causal = is_causal;
  for (std::int64_t i = 0; i < tower.layers; ++i) {
    transformer.blocks.push_back({make.norm(tower.width), make.linear(3 * tower.width, tower.width),
                                  make.linear(tower.width, tower.width), make.norm(tower.width),
                                  make.linear(tower.mlp_width, tower.width),
                                  make.linear(tower.width, tower.mlp_width)});
  }
  return transformer;
}

AttentionPool allocate_pool(const Allocator& make, const TowerGeometry& tower) {
  return {make.tensor({tower.width}),
          make.linear(3 * tower.width, tower.width),
          make.linear(tower.width, tower.width),
          make.norm(tower.width),
          make.linear(tower.mlp_width, tower.width),
          make.linear(tower.width, tower.mlp_width),
          tower.heads,
          tower.activation};
}

VisionTower allocate_vision(const Allocator& make, const ClipGeometry& g) {
  const FamilyForm& form = form_of(g.family);
  const std::int64_t width = g.vision.width;
  VisionTower tower;
  if (form.has_class_token) tower.class_embedding = make.tensor({width});
  tower.patch_embedding.weight = make.tensor({width, 3 * g.patch_size * g.patch_size});
  if (form.has_patch_bias) tower.patch_embedding.bias = make.tensor({width});
  tower.position_embedding = make.tensor({g.positions(), width});
  if (form.has_pre_norm) tower.pre_norm = make.norm(width);
  tower.transformer = allocate_transformer(make, g.vision, false);
  tower.post_norm = make.norm(width);
  if (!form.has_class_token) tower.pool = allocate_pool(make, g.vision);
  if (form.has_vision_projection) tower.projection = make.tensor({g.embed_dim, width});
  return tower;
}

TextTower allocate_text(const Allocator& make, const ClipGeometry& g) {
  const FamilyForm& form = form_of(g.family);
  TextTower tower;
  tower.token_embedding = make.tensor({g.vocab_size, g.text.width});
  tower.position_embedding = make.tensor({g.context_length, g.text.width});
  tower.transformer = allocate_transformer(make, g.text, form.is_text_causal);
  tower.final_norm = make.norm(g.text.width);
  tower.projection = make.tensor({g.embed_dim, g.text.width});
  if (form.has_text_projection_bias) tower.projection_bias = make.tensor({g.embed_dim});
  return tower;
}

void number_sites(ClipModel& model) {
  std::uint64_t site = 0;
  for (LinearSlot& slot : linear_slots(model)) slot.layer->site = site++;
}

}  // namespace

ClipModel allocate_clip(const ClipGeometry& g, at::ScalarType matmul_dtype, at::Device device) {
  const Allocator make{at::TensorOptions().dtype(at::kFloat).device(device), g.norm_eps};
  ClipModel m;
  m.geometry = g;
  m.logit_scale = make.tensor({});
  if (form_of(g.family).has_logit_bias) m.logit_bias = make.tensor({});
  m.text = allocate_text(make, g);
  m.vision = allocate_vision(make, g);
  number_sites(m);
  for (at::Tensor* weight : matmul_weights(m)) {
    if (matmul_dtype != at::kFloat && weight->defined())
      *weight = at::empty(weight->sizes(), weight->options().dtype(matmul_dtype));
  }
  return m;
}

std::vector<ComputeCopies::Source> copied_tensors(ClipModel& model, at::ScalarType compute) {
  std::vector<ComputeCopies::Source> sources;
  std::vector<at::Tensor*> read = matmul_weights(model);
  read.insert(read.end(), {&model.vision.class_embedding, &model.vision.position_embedding,
                           &model.vision.pool.probe});
  for (const at::Tensor* tensor : read) {
    const bool is_copied =
        tensor->defined() && tensor->requires_grad() && tensor->scalar_type() != compute;
    if (is_copied) sources.push_back({{*tensor}});
  }
  for (const LinearSlot& slot : linear_slots(model)) {
    const Linear& layer = *slot.layer;
    if (slot.row != 0 || layer.lora.empty()) continue;
    ComputeCopies::Source all_a;
    for (const LoraSegment& segment : layer.lora) {
      all_a.leaves.push_back(segment.a);
      sources.push_back({{segment.b}, layer.lora_scaling});
    }
    sources.push_back(std::move(all_a));
  }
  return sources;
}

void pack_frozen_weights(ClipModel& model, std::int64_t pictures, std::int64_t captions,
                         at::ScalarType compute) {
  const auto pack = [&](Transformer& transformer, std::int64_t rows) {
    for (Block& block : transformer.blocks) {
      for (Linear* layer : {&block.qkv, &block.out, &block.fc1, &block.fc2}) {
        pack_frozen(*layer, rows, compute);
      }
    }
  };
  pack(model.vision.transformer, pictures * model.geometry.positions());
  pack(model.text.transformer, captions * kUsualCaptionLength);
}

void convert_clip(ClipModel& model, at::ScalarType matmul_dtype, at::Device device) {
  for (TensorSlot& slot : tensor_slots(model)) *slot.storage = slot.storage->to(device);
  for (at::Tensor* weight : matmul_weights(model)) {
    if (weight->defined()) *weight = weight->to(matmul_dtype);
  }
}

}  // namespace saferclip
