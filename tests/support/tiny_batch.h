// A batch for the models of tests/fixtures/model: five or more rows, three with an unsafe picture.
#pragma once

#include <ATen/ATen.h>

#include "saferclip/data/batch.h"

namespace saferclip {

inline Batch tiny_batch(std::int64_t rows) {
  at::manual_seed(2);
  Batch b;
  b.step = 3;
  for (std::int64_t i = 0; i < rows; ++i) b.rows.push_back(i);
  const auto pixels = [&](std::int64_t n) {
    return at::randint(0, 256, {n, 21, 21, 3}, at::kByte);
  };
  const auto ids = [&] {
    at::Tensor t = at::randint(0, 48, {rows, 8}, at::kInt);
    t.select(1, 0).fill_(48);
    t.select(1, 7).fill_(49);
    return t;
  };
  const auto embeddings = [&] { return at::randn({rows, 12}); };
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
  b.safe_ends = b.unsafe_ends = end_positions(b.safe_ids, {});
  b.reference.safe_text = embeddings();
  b.reference.safe_image = embeddings();
  b.reference.unsafe_text = embeddings();
  b.reference.unsafe_image = embeddings();
  b.target_text = embeddings();
  b.target_image = embeddings();
  return b;
}

}  // namespace saferclip
