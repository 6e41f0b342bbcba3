// How the embeddings of one model are compared: by cosine, or, if objective hysac tuned it, by
// Lorentz distance. Legend: N rows, D embedding width.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "saferclip/core/lorentz.h"
#include "saferclip/eval/document.h"
#include "saferclip/eval/evaluate_options.h"
#include "saferclip/eval/retrieval.h"

namespace saferclip {

// The distances of some rows from the origin.
struct RadiusRange {
  double low_05 = 0;  // 5th percentile
  double mean = 0;
  double up_95 = 0;  // 95th percentile
  std::int64_t n = 0;
};

// Those of safe captions and safe pictures, from which the boundary of a traversal follows.
struct RadiusBounds {
  std::string split;  // whose rows they are
  RadiusRange text;
  RadiusRange image;
};

class RowRanking {
 public:
  // By cosine, of L2-normalized rows.
  RowRanking() = default;
  // Of un-normalized rows of a model with these scalars, as the options say.
  RowRanking(const LorentzScalars& scalars, const EvaluateOptions& options);

  // A set whose rows' inner products of a text and an image rank as this model does, fp32. By
  // Lorentz distance: [x, −(x_t − 1/√c), −1/√c] and [y, y_t, y_t − 1/√c], N x (D + 2), whose
  // product is <x, y>_L + 1/c: the constant keeps fp32's digits.
  EmbeddingSet items(const EmbeddingSet& set) const;
  at::Tensor texts(const at::Tensor& rows) const;
  at::Tensor images(const at::Tensor& rows) const;

  // The same where texts, or images, are the queries: with a traversal those that lie beyond the
  // boundary are moved to it. The others stay as items() has them.
  EmbeddingSet texts_ask(const EmbeddingSet& set) const;
  EmbeddingSet images_ask(const EmbeddingSet& set) const;
  at::Tensor text_queries(const at::Tensor& rows) const;
  at::Tensor image_queries(const at::Tensor& rows) const;

  // One row for each class from its prompts [classes, templates, D]: their mean, as text.
  at::Tensor classes(const at::Tensor& prompts) const;

  // Rows of L2 norm 1, for measures of cosines.
  EmbeddingSet normalized(const EmbeddingSet& set) const;

  // What the inner products of two items are: "cosine" or "Lorentz product".
  const char* unit() const { return is_lorentz_ ? "Lorentz product" : "cosine"; }

  // Whether queries move; then bounds must be set first.
  bool moves() const { return is_lorentz_ && traversal_ != Traversal::kOff; }
  // `pictures`: the rows of the distinct safe pictures.
  RadiusBounds find_bounds(const std::string& split, const EmbeddingSet& set,
                           const at::Tensor& pictures) const;
  void set_bounds(const RadiusBounds& bounds) { bounds_ = bounds; }

  // What the document says of it: score, scalars, radii, bounds, traversal with the numbers of
  // moved queries; null for a model without scalars.
  OrderedJson json(const EmbeddingSet& set) const;

 private:
  bool has_scalars() const { return c_.defined(); }
  RadiusRange range_of(const at::Tensor& rows, const at::Tensor& alpha) const;
  at::Tensor points(const at::Tensor& rows, const at::Tensor& alpha) const;
  double boundary(const RadiusRange& safe) const;
  at::Tensor moved(const at::Tensor& points, const RadiusRange& safe) const;
  std::int64_t count_beyond(const at::Tensor& rows, const at::Tensor& alpha,
                            const RadiusRange& safe) const;
  OrderedJson traversal_json(const EmbeddingSet& set) const;

  bool is_lorentz_ = false;
  Traversal traversal_ = Traversal::kOff;
  LorentzScalars scalars_;  // float64, on the CPU
  at::Tensor c_;            // 0-d float64; undefined: none
  std::optional<RadiusBounds> bounds_;
};

}  // namespace saferclip
