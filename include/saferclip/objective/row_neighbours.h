// Which rows of a split are neighbors of which, for orders that let them share a batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "saferclip/core/stop.h"

namespace saferclip {

// int64 [N, k]: of each row the rows with a cosine of at least `threshold` to it, at most k,
// nearest first and of equally near ones the earlier first; -1 where there are fewer. `rows` [N,
// D]: L2-normalized fp32 on the CPU. Takes N² products; throws Interrupted between blocks once
// `stop` is set.
at::Tensor rows_above(const at::Tensor& rows, std::int64_t k, double threshold,
                      const StopFlag* stop = nullptr);

// The same for rows that share a value of `group`, int64 [N]: the next k of them in cyclic order.
at::Tensor rows_of_group(const at::Tensor& group, std::int64_t k);

}  // namespace saferclip
