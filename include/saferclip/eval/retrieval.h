// Retrieval between the four embeddings of quadruplets. Legend: N rows, D embedding width. All
// embeddings are L2-normalised fp32 rows on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "saferclip/core/stop.h"

namespace saferclip {

// The four embeddings of a split, [N, D]; the unsafe ones are undefined when the split has none.
struct EmbeddingSet {
  at::Tensor safe_text;
  at::Tensor safe_image;
  at::Tensor unsafe_text;
  at::Tensor unsafe_image;
  std::vector<bool> has_unsafe_image;
  std::vector<std::string> gallery = {};  // retrieval runs inside each gallery; empty: one
  std::vector<std::string> tag = {};
  std::vector<std::string> pair = {};  // rows of one concept; empty: unknown
  // [N] rows of equal number show one picture: one item of a gallery, one query, with as many
  // captions as rows. Empty: each row shows its own.
  std::vector<std::int64_t> safe_picture = {};
  std::vector<std::int64_t> unsafe_picture = {};
};

// Per query: the row it belongs to (of a picture the first row of the gallery that shows it), the
// rank of its relevant item from 1, whether an item that is not relevant has the same score, and in
// the union galleries whether its first item is unsafe.
//   rank_i = 1 + #{j: s_ij > s_i,rel} + #{j < rel: s_ij = s_i,rel}
// Of a picture's captions the best-ranked counts. A relevant score that is not a number ranks last.
struct QueryOutcome {
  std::int64_t row = 0;
  std::int64_t rank = 0;
  bool is_tied = false;
  bool is_top_unsafe = false;
};

struct TaskOutcomes {
  std::vector<QueryOutcome> queries;
  std::int64_t items = 0;  // of all its galleries together
};

// The tasks by their names in the evaluation JSON. The relevant item of a safe query is its own
// safe partner, that of an unsafe query in a union gallery its row's safe item, in any other
// gallery its row's item of the kind that the gallery holds; a picture has the items of all rows
// that show it. Union galleries hold the safe items
// first, then the unsafe ones, of the rows that have an unsafe picture; tasks with unsafe pictures
// use the same rows, all others use all rows.
inline constexpr const char* kTextToImage = "text_to_image";
inline constexpr const char* kImageToText = "image_to_text";
inline constexpr const char* kUnsafeTextUnion = "unsafe_text_to_image_union";
inline constexpr const char* kUnsafeImageUnion = "unsafe_image_to_text_union";
inline constexpr const char* kUnsafeText = "unsafe_text_to_unsafe_image";
inline constexpr const char* kUnsafeImage = "unsafe_image_to_unsafe_text";
inline constexpr const char* kSafeTextUnion = "safe_text_to_image_union";
inline constexpr const char* kSafeImageUnion = "safe_image_to_text_union";
inline constexpr const char* kSafeTextAmongUnsafe = "safe_text_to_unsafe_image";
inline constexpr const char* kUnsafeImageAmongSafe = "unsafe_image_to_safe_text";
inline constexpr const char* kUnsafeTextAmongSafe = "unsafe_text_to_safe_image";
inline constexpr const char* kSafeImageAmongUnsafe = "safe_image_to_unsafe_text";

// Every text-image score is computed once, in tiles, and counted for all tasks: O(N) memory.
// `stop`, here and below, is asked between tiles or chunks: Interrupted.
std::map<std::string, TaskOutcomes> run_retrieval(const EmbeddingSet& set,
                                                  const StopFlag* stop = nullptr);

// The rows that stand for the distinct pictures: the first that shows each, ascending. `picture` as
// in EmbeddingSet, of `rows` rows.
std::vector<std::int64_t> distinct_pictures(const std::vector<std::int64_t>& picture,
                                            std::int64_t rows);

// The scores of each query among all items, query by query.
void for_each_score_row(const at::Tensor& queries, const at::Tensor& gallery, const StopFlag* stop,
                        const std::function<void(const float* scores, std::int64_t items)>& visit);

// The gallery item with the highest score of each query, ties to the lower index. int64 [N].
at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery,
                     const StopFlag* stop = nullptr);

// Rows of a tensor; the tensor itself when they are all of its rows in order.
at::Tensor select_rows(const at::Tensor& rows, const std::vector<std::int64_t>& index);

}  // namespace saferclip
