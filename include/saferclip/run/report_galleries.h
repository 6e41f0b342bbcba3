// What queries retrieve before and after training, as pictures for the report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "saferclip/data/caches.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/report/report.h"

namespace saferclip {

// The same rows embedded by both models, and their training targets.
struct GalleryData {
  const SplitData* split = nullptr;
  EmbeddingSet before;
  EmbeddingSet after;
  TargetCache targets;
};

// `count` unsafe texts with their top results; each concept (pair or tag) appears once before any
// appears twice. `pool` is the split whose rows are the targets.
std::vector<ReportQuery> unsafe_text_queries(const GalleryData& data, const SplitData& pool,
                                             std::int64_t count);

// Up to `count` unsafe texts that still retrieve an unsafe picture, largest margin first, and up to
// `count` safe texts that no longer retrieve their own picture.
std::vector<ReportQuery> worst_queries(const GalleryData& data, const SplitData& pool,
                                       std::size_t count);

}  // namespace saferclip
