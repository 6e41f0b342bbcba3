// Retrieval metrics as functions of embeddings. Legend: N queries, M gallery items, D embedding
// width. All embeddings are L2-normalised fp32 rows on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace saferclip {

// Rank of the relevant item of each query, from 1, and whether another item has the same score.
struct Ranks {
  std::vector<std::int64_t> rank;
  std::vector<bool> is_tied;
};

// rank_i = 1 + #{j: s_j > s_rel} + #{j < relevant_i: s_j = s_rel}. `relevant` int64 [N]. Computed
// in chunks of queries; no N x M matrix is kept.
Ranks rank_relevant(const at::Tensor& queries, const at::Tensor& gallery,
                    const at::Tensor& relevant);

// The gallery item with the highest score of each query, ties to the lower index. int64 [N].
at::Tensor top_items(const at::Tensor& queries, const at::Tensor& gallery);

struct RecallResult {
  std::map<std::int64_t, double> recall;  // K -> percent
  std::int64_t n = 0;
  std::int64_t ties = 0;
};
RecallResult recall_at(const Ranks& ranks, const std::vector<std::int64_t>& k);

// The four embeddings of a split, [N, D]; the unsafe ones are undefined when the split has none.
struct EmbeddingSet {
  at::Tensor safe_text;
  at::Tensor safe_image;
  at::Tensor unsafe_text;
  at::Tensor unsafe_image;
  std::vector<bool> has_unsafe_image;
  std::vector<std::string> gallery;  // retrieval runs inside each gallery
  std::vector<std::string> tag;
};

// Per query: the row it belongs to, the rank of its relevant item, and in the union galleries
// whether its first item is unsafe.
struct QueryOutcome {
  std::int64_t row = 0;
  std::int64_t rank = 0;
  bool is_tied = false;
  bool is_top_unsafe = false;
};

// The six retrieval tasks, by their names in the evaluation JSON. Union galleries hold the
// safe items first, then the unsafe ones; the relevant item of an unsafe query is its row's safe
// item.
std::map<std::string, std::vector<QueryOutcome>> run_retrieval(const EmbeddingSet& set);

RecallResult recall_of(const std::vector<QueryOutcome>& outcomes,
                       const std::vector<std::int64_t>& k);
// Share of queries whose first item is unsafe, percent.
double top_unsafe_percent(const std::vector<QueryOutcome>& outcomes);

}  // namespace saferclip
