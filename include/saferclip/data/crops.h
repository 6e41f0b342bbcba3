// Random crops of training pictures (data.augment: crop). Legend: N pictures, S image side.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "saferclip/data/host_memory.h"

namespace saferclip {

// Which picture of a row a box crops; the two are independent.
enum class PictureColumn : std::uint8_t { kSafe, kUnsafe };

// One box per picture in fractions of its side: left, top, width, height. fp32 [N, 4] on the CPU,
// in `memory`. Drawn as by torchvision's RandomResizedCrop on a square, with
// open_clip's training range: area uniform in 0.9 … 1, width / height log-uniform in 3/4 … 4/3, up
// to ten draws until a box fits, else the whole picture; its position is uniform. Boxes are not
// rounded to pixels. A row's box is a pure function of (seed, step, row, column).
at::Tensor crop_boxes(std::uint64_t seed, std::int64_t step, const std::vector<std::int64_t>& rows,
                      PictureColumn column, HostMemory memory);

// Cuts the boxes out of pixels uint8 [N, S, S, 3] and resizes them back to S x S: bicubic, edges
// repeated, rounded and clamped to 0 … 255. Both tensors are on one device; the call does not wait
// for it.
at::Tensor crop_pictures(const at::Tensor& pixels, const at::Tensor& boxes);

}  // namespace saferclip
