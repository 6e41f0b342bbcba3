// Position embeddings for pictures of another size, as by open_clip's `resize_pos_embed`: the grid
// is resized bicubically with antialiasing, the class token is kept. The tensor is resized when it
// is read, so the file's hash still identifies the weights.
#include "weights/resize_positions.h"

#include <ATen/ATen.h>

#include <string>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr const char* kPositions = "vision_model.embeddings.position_embedding.weight";

// [c + g², D] -> [c + G², D], with c class tokens, 0 or 1.
at::Tensor resized(const at::Tensor& positions, std::int64_t old_grid, std::int64_t new_grid) {
  const std::int64_t width = positions.size(1);
  const std::int64_t tokens = positions.size(0) - old_grid * old_grid;
  const at::Tensor value = positions.to(at::kFloat);
  const at::Tensor grid =
      value.slice(0, tokens).view({1, old_grid, old_grid, width}).permute({0, 3, 1, 2});
  const at::Tensor larger = at::_upsample_bicubic2d_aa(grid.contiguous(), {new_grid, new_grid},
                                                       /*align_corners=*/false);
  return at::cat({value.slice(0, 0, tokens),
                  larger.permute({0, 2, 3, 1}).reshape({new_grid * new_grid, width})});
}

}  // namespace

void resize_positions(WeightsSource& source, std::int64_t image_size) {
  ClipGeometry& g = source.geometry;
  if (image_size < g.patch_size) {
    throw ConfigError(
        cat("model.image_size ", image_size, ": smaller than one patch of ", g.patch_size, " px"));
  }
  const std::int64_t old_grid = g.grid();
  source.notes.push_back(cat("model.image_size: position embeddings interpolated from ",
                             g.image_size, " to ", image_size, " px"));
  // A resize target other than the crop size keeps its ratio to it.
  std::int64_t& resize_to = source.preprocessing.resize_to;
  resize_to = (resize_to * image_size + g.image_size / 2) / g.image_size;
  g.image_size = image_size;
  source.preprocessing.image_size = image_size;
  const std::int64_t new_grid = g.grid();
  if (new_grid == old_grid) return;
  source.tensor = [base = source.tensor, old_grid, new_grid](const std::string& name) {
    return name == kPositions ? resized(base(name), old_grid, new_grid) : base(name);
  };
}

}  // namespace saferclip
