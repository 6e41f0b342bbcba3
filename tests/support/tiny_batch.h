// A batch for small models: four or more rows, three with an unsafe picture.
#pragma once

#include <ATen/ATen.h>

#include "saferclip/data/batch.h"
#include "saferclip/model/geometry.h"

namespace saferclip {

inline Batch tiny_batch(std::int64_t rows, const ClipGeometry& geometry) {
  at::manual_seed(2);
  Batch b;
  b.step = 3;
  b.total_rows = rows;
  for (std::int64_t i = 0; i < rows; ++i) b.rows.push_back(i);
  const auto pixels = [&](std::int64_t n) {
    return at::randint(0, 256, {n, geometry.image_size, geometry.image_size, 3}, at::kByte);
  };
  const bool is_padded = form_of(geometry.family).pools_last_token;
  const std::int64_t length = is_padded ? geometry.context_length : 8;
  const auto ids = [&] {
    at::Tensor t = at::randint(0, geometry.vocab_size - 2, {rows, length}, at::kInt);
    t.select(1, 0).fill_(geometry.vocab_size - 2);
    t.select(1, length - 1).fill_(geometry.vocab_size - 1);
    return t;
  };
  const auto embeddings = [&] { return at::randn({rows, geometry.embed_dim}); };
  b.safe_pixels = pixels(rows);
  b.unsafe_positions = {0, 2, 3};
  b.unsafe_rows = at::tensor(b.unsafe_positions, at::kLong);
  b.unsafe_pixels = pixels(3);
  b.has_unsafe_image = at::zeros({rows}).index_fill_(0, b.unsafe_rows, 1);
  b.is_redirected = at::ones({rows});
  b.redirected_rows = static_cast<double>(rows);
  b.redirected_rows_with_unsafe_image = 3;
  b.safe_ids = ids();
  b.unsafe_ids = ids();
  b.safe_ends = b.unsafe_ends = end_positions(b.safe_ids, {is_padded, -1});
  b.reference.safe_text = embeddings();
  b.reference.safe_image = embeddings();
  b.reference.unsafe_text = embeddings();
  b.reference.unsafe_image = embeddings();
  b.target_text = embeddings();
  b.target_image = embeddings();
  return b;
}

}  // namespace saferclip
