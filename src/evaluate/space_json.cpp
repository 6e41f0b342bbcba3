#include "evaluate/space_json.h"

#include <ATen/ATen.h>

#include <tuple>
#include <utility>

#include "saferclip/eval/space.h"

namespace saferclip {

at::Tensor distinct_safe_pictures(const EmbeddingSet& set) {
  return select_rows(set.safe_image, distinct_pictures(set.safe_picture, set.safe_image.size(0)));
}

OrderedJson space_json(const EmbeddingSet& set) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [name, rows] :
       {std::pair("safe_text", set.safe_text), std::pair("safe_image", distinct_safe_pictures(set)),
        std::pair("unsafe_text", set.unsafe_text)}) {
    if (!rows.defined()) continue;
    const EmbeddingSpace space = measure_space(rows);
    json[name] = {{"mean_cosine", space.mean_cosine}, {"effective_rank", space.effective_rank}};
  }
  return json;
}

void add_kept_space(const EmbeddingSet& reference, const EmbeddingSet& tuned, OrderedJson& space) {
  constexpr std::int64_t kNeighbours = 15;
  for (const auto& [name, before, after] :
       {std::tuple("safe_text", reference.safe_text, tuned.safe_text),
        std::tuple("safe_image", distinct_safe_pictures(reference),
                   distinct_safe_pictures(tuned))}) {
    if (before.size(0) < 2) continue;
    const double spread = measure_space(before).spread;
    if (spread > 0) space[name]["spread_ratio"] = measure_space(after).spread / spread;
    space[name]["neighbour_jaccard"] = neighbour_jaccard(before, after, kNeighbours);
  }
}

}  // namespace saferclip
