// What people should know of a split.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "saferclip/data/caches.h"

namespace saferclip {

// Problems that show in a split's tokens: captions that the context cuts, and rows whose two
// captions have the same ids.
std::vector<std::string> caption_problems(const SplitData& split, const TokenCache& tokens,
                                          const at::Tensor& safe_cut, const at::Tensor& unsafe_cut);

// "30 rows", or "30 rows that share 6 safe images".
std::string rows_and_pictures(const SplitData& split);

}  // namespace saferclip
