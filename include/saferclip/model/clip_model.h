// CLIP and SigLIP: a vision and a text transformer that share an embedding space, as plain structs
// of tensors. Names are in tensor_slots.h, the forward pass is in clip_forward.h. Legend: D tower
// width, E embedding width, P patch side in pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/core/lorentz.h"
#include "saferclip/model/geometry.h"
#include "saferclip/nn/attention_pool.h"
#include "saferclip/nn/transformer.h"

namespace saferclip {

// Tensors that the family lacks are undefined.
struct VisionTower {
  at::Tensor class_embedding;     // [D]
  Linear patch_embedding;         // [D, 3·P·P], the convolution's kernel flattened
  at::Tensor position_embedding;  // [positions, D], class token first
  LayerNorm pre_norm;
  Transformer transformer;
  LayerNorm post_norm;
  AttentionPool pool;
  at::Tensor projection;  // [E, D]
};

struct TextTower {
  at::Tensor token_embedding;     // [vocab, D]
  at::Tensor position_embedding;  // [context, D]
  Transformer transformer;
  LayerNorm final_norm;
  at::Tensor projection;       // [E, D]
  at::Tensor projection_bias;  // [E] or undefined
};

struct ClipModel {
  ClipGeometry geometry;
  VisionTower vision;
  TextTower text;
  at::Tensor logit_scale;  // 0-d, the logarithm
  at::Tensor logit_bias;   // 0-d or undefined
  // Learned beside the weights, and no part of them: files of weights do not hold them.
  LorentzScalars lorentz;
};

// A model of this geometry with uninitialized tensors: the weights and biases of matrix products
// (projections included) in `matmul_dtype`, LayerNorms, embeddings and scalars in fp32.
ClipModel allocate_clip(const ClipGeometry& geometry, at::ScalarType matmul_dtype,
                        at::Device device);

// Converts the tensors to another dtype or device; storage that already matches is not copied. With
// bf16, LayerNorms and embeddings stay fp32: only the weights and biases of matrix products are
// converted.
void convert_clip(ClipModel& model, at::ScalarType matmul_dtype, at::Device device);

// The trained tensors that matrix products in `compute` read, for ComputeCopies.
std::vector<ComputeCopies::Source> copied_tensors(ClipModel& model, at::ScalarType compute);

// Packs the frozen weights of the blocks for products with a batch of `pictures` and `captions`
// (nn/linear: pack_frozen); their values can no longer be read.
void pack_frozen_weights(ClipModel& model, std::int64_t pictures, std::int64_t captions,
                         at::ScalarType compute);

}  // namespace saferclip
