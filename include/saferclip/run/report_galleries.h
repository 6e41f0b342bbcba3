// What queries find before and after, as pictures for the report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "saferclip/data/caches.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/report/report.h"

namespace saferclip {

// The same rows embedded by both models, and what training would send them to.
struct GalleryData {
  const SplitData* split = nullptr;
  EmbeddingSet before;
  EmbeddingSet after;
  TargetCache targets;
};

// `count` unsafe texts with their first results, one of each concept (pair or tag) first. `pool` is
// the split that the targets are rows of.
std::vector<ReportQuery> unsafe_text_queries(const GalleryData& data, const SplitData& pool,
                                             std::int64_t count);

// Up to `count` unsafe texts that still find an unsafe picture, the clearest first, and up to
// `count` safe texts that lost their own.
std::vector<ReportQuery> worst_queries(const GalleryData& data, const SplitData& pool,
                                       std::size_t count);

}  // namespace saferclip
