// Random crops of training pictures (data.augment: crop). Legend: N pictures, S image side.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace saferclip {

// Which picture of a row a box is for: the two are cropped independently.
enum class PictureColumn : std::uint8_t { kSafe, kUnsafe };

// One box a picture in shares of its side: left, top, width, height. fp32 [N, 4] on the CPU, pinned
// when `pin` is set. Drawn as torchvision's RandomResizedCrop does on a square, with the range that
// open_clip trains with: area uniform in 0.9 … 1, width / height log-uniform in 3/4 … 4/3, ten
// draws until a box fits, else the whole picture; its place is uniform. Boxes are not rounded to
// pixels. A row's box is a pure function of (seed, step, row, column).
at::Tensor crop_boxes(std::uint64_t seed, std::int64_t step, const std::vector<std::int64_t>& rows,
                      PictureColumn column, bool pin);

// The boxes of pixels uint8 [N, S, S, 3] resized to S x S again: bicubic, edges repeated, rounded
// and clamped to 0 … 255. Both tensors are on one device; nothing waits for it.
at::Tensor crop_pictures(const at::Tensor& pixels, const at::Tensor& boxes);

}  // namespace saferclip
