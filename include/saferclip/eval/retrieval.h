// Retrieval between the safe and unsafe captions and pictures of a split. Legend: N rows, D
// embedding width. All embeddings are L2-normalized fp32 rows on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "saferclip/core/quadruplet.h"
#include "saferclip/core/stop.h"
#include "saferclip/eval/task_names.h"

namespace saferclip {

// The embeddings of a split, [N, D] each; the unsafe ones are undefined if the split has none.
struct EmbeddingSet : EmbeddingRows {
  std::vector<bool> has_unsafe_image;
  std::vector<std::string> gallery = {};  // name of each row's gallery; empty: all rows share one
  std::vector<std::string> tag = {};
  std::vector<std::string> pair = {};  // name of each row's concept; empty: unknown
  // [N]: rows with the same number show the same picture, which is then one item and one query with
  // several captions. Empty: each row shows a different picture.
  std::vector<std::int64_t> safe_picture = {};
  std::vector<std::int64_t> unsafe_picture = {};
};

// The outcome of a query i with scores s_ij and relevant item rel:
//   rank_i = 1 + #{j: s_ij > s_i,rel} + #{j < rel: s_ij = s_i,rel}
// Of a picture's captions the best-ranked counts. If the relevant score is NaN, it ranks last.
struct QueryOutcome {
  std::int64_t row = 0;        // the caption's, or the gallery's first that shows the picture
  std::int64_t rank = 0;       // from 1
  bool is_tied = false;        // an item that is not relevant has the relevant score
  bool is_top_unsafe = false;  // in a union gallery: the top item is unsafe
};

struct TaskOutcomes {
  std::vector<QueryOutcome> queries;
  std::int64_t items = 0;  // in all galleries together
};

// How several processes share the tiles of a retrieval: each computes its own and gets all counts,
// the same as one process would. All call with the same embeddings.
struct TileShare {
  int rank = 0;
  int size = 1;
  // [size, M] from each process's [1, M], in the order of ranks; not used by one process.
  std::function<at::Tensor(const at::Tensor& row)> gather = {};
};

// Computes every text-image score once, in tiles, and counts it for all tasks (by name, see
// task_names.h): O(N) memory. Here and below, throws Interrupted between tiles or chunks once
// `stop` is set.
std::map<std::string, TaskOutcomes> run_retrieval(const EmbeddingSet& set,
                                                  const StopFlag* stop = nullptr,
                                                  const TileShare& share = {});

// The first row that shows each distinct picture, ascending. `picture` as in EmbeddingSet, for
// `rows` rows.
std::vector<std::int64_t> distinct_pictures(const std::vector<std::int64_t>& picture,
                                            std::int64_t rows);

// Calls `visit` for each query in order, with its scores against all items.
void for_each_score_row(const at::Tensor& queries, const at::Tensor& gallery, const StopFlag* stop,
                        const std::function<void(const float* scores, std::int64_t items)>& visit);

// The gallery item with the highest score for each query, ties to the lower index; int64 [N].
at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery,
                     const StopFlag* stop = nullptr);

// The rows `index` of a tensor; the tensor itself if these are all its rows in order.
at::Tensor select_rows(const at::Tensor& rows, const std::vector<std::int64_t>& index);

}  // namespace saferclip
