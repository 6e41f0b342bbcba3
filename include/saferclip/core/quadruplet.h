// The four things that a row of a manifest has, and what a step's losses take as given.
#pragma once

#include <ATen/core/Tensor.h>

namespace saferclip {

// One value for each: safe and unsafe caption, safe and unsafe picture.
template <class T>
struct Quadruplet {
  T safe_text{};
  T safe_image{};
  T unsafe_text{};
  T unsafe_image{};

  // Calls `visit` with each member, in this order.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (T* member : {&safe_text, &safe_image, &unsafe_text, &unsafe_image}) visit(*member);
  }
};

// Embeddings [B, E] of quadruplets; undefined where nothing needs them.
using EmbeddingRows = Quadruplet<at::Tensor>;

// What the losses of a step compare the tuned embeddings with: constants of the training, gathered
// from the caches. Legend: B rows, A anchors, E embedding width; T0, V0: the frozen reference;
// t̂, v̂: targets.
struct LossConstants {
  EmbeddingRows reference;  // T0(t), V0(v), T0(t*), V0(v*)
  at::Tensor target_text;   // T0(t̂)
  at::Tensor target_image;  // V0(v̂)
  // [B], 0 or 1. Rows without an unsafe picture may hold any values, NaN included, in the
  // unsafe_image tensors: they affect neither losses nor gradients. Undefined: all rows have one.
  at::Tensor has_unsafe_image;
  // [B], 0 or 1: whether a row counts in the redirection terms. Undefined: all rows do.
  at::Tensor is_redirected;
  // [B], 0 or 1: whether a row's unsafe caption, its unsafe picture is labeled unsafe. Undefined:
  // all are.
  at::Tensor unsafe_caption_label;
  at::Tensor unsafe_image_label;
  at::Tensor reference_anchor_text;   // T0(p): [A, E]
  at::Tensor reference_anchor_image;  // V0(x): [A, E]

  // Calls `visit` with each tensor that has a row for each row of the batch, undefined ones
  // included.
  template <class Visit>
  void for_each_of_rows(Visit&& visit) {
    reference.for_each(visit);
    for (at::Tensor* tensor : {&target_text, &target_image, &has_unsafe_image, &is_redirected,
                               &unsafe_caption_label, &unsafe_image_label}) {
      visit(*tensor);
    }
  }
};

// How many redirected rows a batch has of each kind of label. A row without an unsafe picture
// counts by its caption alone.
struct LabelCounts {
  double safe_captions = 0;
  double unsafe_captions = 0;
  double safe_images = 0;
  double unsafe_images = 0;
  double both_safe = 0;
  double only_caption_unsafe = 0;
  double only_image_unsafe = 0;
  double both_unsafe = 0;

  void add(bool is_unsafe_caption, bool is_unsafe_image, bool has_image) {
    (is_unsafe_caption ? unsafe_captions : safe_captions) += 1;
    if (!has_image) return;
    (is_unsafe_image ? unsafe_images : safe_images) += 1;
    (is_unsafe_caption ? (is_unsafe_image ? both_unsafe : only_caption_unsafe)
                       : (is_unsafe_image ? only_image_unsafe : both_safe)) += 1;
  }
};

// What an objective, and the way its pictures are prepared, needs besides the safe pair.
struct RowNeeds {
  bool unsafe = false;                  // unsafe captions and pictures
  bool reference = false;               // reference embeddings of the rows
  bool reference_unsafe_image = false;  // V0(v*) among them
  bool targets = false;
  bool labels = false;  // of unsafe captions and pictures
  bool anchor_text = false;
  bool anchor_image = false;
  bool crops = false;  // boxes that are cut out of the pictures
};

}  // namespace saferclip
