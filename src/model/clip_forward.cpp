// The two towers as plain sequences of calls around the blocks of nn/. Pixels are normalized with
// exactly the floating-point operations of torchvision and transformers, so the first layer sees
// bit-identical input. Patches are cut and multiplied as rows: this equals the clients' strided
// convolution and can carry a LoRA.
#include "saferclip/model/clip_forward.h"

#include <ATen/ATen.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace saferclip {
namespace {

// Three values as fp32 [3] on a device, uploaded once a process: an upload in a step would stall
// it. Never destroyed, because the device may be gone before it.
at::Tensor constant_row(const std::array<double, 3>& values, const at::Tensor& like) {
  static std::mutex mutex;
  static auto& rows = *new std::map<std::pair<std::string, std::array<double, 3>>, at::Tensor>;
  const std::lock_guard guard(mutex);
  at::Tensor& row = rows[{like.device().str(), values}];
  if (!row.defined()) {
    row = at::tensor(at::ArrayRef<double>(values.data(), values.size()), at::kFloat)
              .to(like.device());
  }
  return row;
}

// uint8 or fp32 [B, S, S, 3] -> [B, G², 3·P·P] in the kernel's order (channel, row, column).
at::Tensor cut_patches(const at::Tensor& pixels, std::int64_t patch) {
  const std::int64_t batch = pixels.size(0);
  const std::int64_t grid = pixels.size(1) / patch;
  return pixels.view({batch, grid, patch, grid, patch, 3})
      .permute({0, 1, 3, 5, 2, 4})
      .reshape({batch, grid * grid, 3 * patch * patch});
}

// The same floating-point operations as torchvision's ToTensor and Normalize, so that fp32 values
// are bit-identical; another factor is applied as transformers' processor does.
at::Tensor normalized_nhwc(const at::Tensor& pixels, const Preprocessing& preprocessing) {
  at::Tensor x = preprocessing.rescale == 1.0 / 255
                     ? pixels.to(at::kFloat).div_(255)
                     : pixels.to(at::kDouble).mul_(preprocessing.rescale).to(at::kFloat);
  return x.sub_(constant_row(preprocessing.mean, x)).div_(constant_row(preprocessing.std, x));
}

// Prepends the class token, if any, and adds the position embeddings.
at::Tensor with_positions(const VisionTower& tower, const at::Tensor& patches,
                          const ForwardMode& mode) {
  const at::Tensor positions = in_compute(tower.position_embedding, mode);
  if (!tower.class_embedding.defined()) return patches + positions;
  const at::Tensor class_token =
      in_compute(tower.class_embedding, mode).view({1, 1, -1}).expand({patches.size(0), 1, -1});
  return at::cat({class_token, patches}, 1) + positions;
}

// [B, L, D] through the blocks to one row per picture [B, D]: the class token's or the pool's.
at::Tensor pooled(const VisionTower& tower, const at::Tensor& x, const ForwardMode& mode) {
  if (tower.pool.probe.defined()) {
    const at::Tensor tokens =
        transformer_tokens(tower.transformer, x, tower.transformer.blocks.size(), mode);
    return attention_pool(tower.pool, layer_norm(tower.post_norm, tokens), mode);
  }
  const at::Tensor rows =
      at::zeros({x.size(0)}, at::TensorOptions().dtype(at::kLong).device(x.device()));
  return layer_norm(tower.post_norm, transformer_rows(tower.transformer, x, rows, mode));
}

at::Tensor project(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& x,
                   const ForwardMode& mode) {
  if (!weight.defined()) return x.to(at::kFloat);
  return at::linear(x, in_compute(weight, mode), bias.defined() ? in_compute(bias, mode) : bias)
      .to(at::kFloat);
}

}  // namespace

at::Tensor normalise_pixels(const at::Tensor& pixels, const Preprocessing& preprocessing) {
  return normalized_nhwc(pixels, preprocessing).permute({0, 3, 1, 2});
}

at::Tensor image_tokens(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const ForwardMode& mode) {
  const VisionTower& tower = model.vision;
  // The margin outside the grid is dropped, as by a strided convolution.
  const std::int64_t covered = model.geometry.grid() * model.geometry.patch_size;
  at::Tensor x = normalized_nhwc(pixels.narrow(1, 0, covered).narrow(2, 0, covered), preprocessing);
  const at::Tensor patches = linear(
      tower.patch_embedding, cut_patches(x, model.geometry.patch_size).to(mode.compute), mode);
  x = with_positions(tower, patches, mode);
  return tower.pre_norm.weight.defined() ? layer_norm(tower.pre_norm, x) : x;
}

at::Tensor text_tokens(const ClipModel& model, const at::Tensor& ids, const ForwardMode& mode) {
  const TextTower& tower = model.text;
  const at::Tensor x = at::embedding(tower.token_embedding, ids.to(at::kLong)) +
                       tower.position_embedding.narrow(0, 0, ids.size(1));
  return x.to(mode.compute);
}

at::Tensor text_states(const ClipModel& model, const at::Tensor& ids, const ForwardMode& mode) {
  const Transformer& transformer = model.text.transformer;
  const at::Tensor tokens = transformer_tokens(transformer, text_tokens(model, ids, mode),
                                               transformer.blocks.size(), mode);
  return layer_norm(model.text.final_norm, tokens).to(at::kFloat);
}

at::Tensor encode_images(const ClipModel& model, const Preprocessing& preprocessing,
                         const at::Tensor& pixels, const ForwardMode& mode) {
  const at::Tensor x = image_tokens(model, preprocessing, pixels, mode);
  return project(model.vision.projection, {}, pooled(model.vision, x, mode), mode);
}

at::Tensor encode_texts(const ClipModel& model, const at::Tensor& ids,
                        const at::Tensor& end_positions, const ForwardMode& mode) {
  const TextTower& tower = model.text;
  const at::Tensor x =
      transformer_rows(tower.transformer, text_tokens(model, ids, mode), end_positions, mode);
  return project(tower.projection, tower.projection_bias, layer_norm(tower.final_norm, x), mode);
}

}  // namespace saferclip
