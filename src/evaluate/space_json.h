// The figures of `space` in an evaluation document.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/eval/document.h"
#include "saferclip/eval/retrieval.h"

namespace saferclip {

// The safe pictures, one row per distinct picture.
at::Tensor distinct_safe_pictures(const EmbeddingSet& set);

// Mean cosine and effective rank of each kind of rows.
OrderedJson space_json(const EmbeddingSet& set);

// Adds how far the safe rows still are from each other, and whether they keep their neighbors.
void add_kept_space(const EmbeddingSet& reference, const EmbeddingSet& tuned, OrderedJson& space);

}  // namespace saferclip
