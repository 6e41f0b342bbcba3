// What queries retrieve before and after training, as pictures for the report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/data/caches.h"
#include "saferclip/eval/retrieval.h"
#include "saferclip/report/report.h"

namespace saferclip {

// The same rows embedded by both models, each ranked by inner products, and their training targets.
struct GalleryData {
  const SplitData* split = nullptr;
  EmbeddingSet before;
  EmbeddingSet after;
  std::string unit = "cosine";  // of the products of `after`
  TargetCache targets;
};

// `count` unsafe texts, or images, with the images, or texts, that they find first; each concept
// (pair or tag) appears once before any appears twice, and no caption does. Results that are the
// query's own partners are marked. `pool` is the split whose rows are the targets.
std::vector<ReportQuery> unsafe_text_queries(const GalleryData& data, const SplitData& pool,
                                             std::int64_t count);
std::vector<ReportQuery> unsafe_image_queries(const GalleryData& data, const SplitData& pool,
                                              std::int64_t count);

// Up to `count` each of unsafe texts and of unsafe images that still find something unsafe, largest
// margin first, and of safe texts that no longer find their own picture; likewise without repeats.
std::vector<ReportQuery> worst_queries(const GalleryData& data, const SplitData& pool,
                                       std::size_t count);

}  // namespace saferclip
