// The prepared artefacts of a manifest, opened for reading: memory-mapped tensors whose row i
// belongs to row i of the manifest. Legend: N manifest rows, S image side, C context length, E
// embedding width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/quadruplet.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct ImageCache {
  at::Tensor safe;            // uint8 [N, S, S, 3]; zeros where missing
  at::Tensor unsafe;          // the same; undefined when the split has no unsafe half
  at::Tensor valid;           // uint8 [N, 2]: safe, unsafe picture is there
  at::Tensor safe_digests;    // uint8 [N, 32]: SHA-256 of the picture files; zeros where missing
  at::Tensor unsafe_digests;  // the same, or undefined
  // [N] the first row whose picture has the same bytes, -1: it has none; of captions that share a
  // picture.
  std::vector<std::int64_t> safe_picture;
  std::vector<std::int64_t> unsafe_picture;
  std::string content;  // hash of what the picture files hold
};

struct TokenCache {
  at::Tensor safe;              // int32 [N, C], filled up after the end mark
  at::Tensor unsafe;            // the same, or undefined
  bool is_padded = false;       // the model attends to the filling (TextSpec)
  std::int64_t pooled_id = -1;  // of the model's geometry
  std::string key;
};

// L2-normalised fp32 embeddings [N, E] of the frozen reference; rows of missing pictures are zero.
struct ReferenceCache : EmbeddingRows {
  std::string key;
};

// Where each row of a split is sent, within the pool: the captions of P manifest rows (those of the
// training split) and X extra captions.
struct TargetCache {
  // int64 [N]: caption: a pool row, P + an extra caption, or -1: the row's own, which the pool has
  // not.
  at::Tensor index;
  at::Tensor image_index;                   // int64 [N]: picture: a pool row, or -1: the row's own
  at::Tensor cosine;                        // fp32 [N]: to the target caption
  at::Tensor fixed_cosine;                  // fp32 [N]: to the row's own safe caption
  at::Tensor extra_text;                    // fp32 [X, E]: T0 of the extra captions
  std::vector<std::string> extra_captions;  // the captions themselves
  std::string key;
};

// Neutral prompts and pictures with their reference embeddings; undefined where not configured.
struct AnchorCache {
  at::Tensor prompts;  // int32 [A, C]
  at::Tensor text;     // fp32 [A, E]
  at::Tensor images;   // uint8 [M, S, S, 3]
  at::Tensor image;    // fp32 [M, E]
  std::string key;
};

struct SplitData {
  std::string name;
  Manifest manifest;
  ImageCache images;
  TokenCache tokens;
  ReferenceCache reference;             // undefined tensors for objective clip
  std::vector<std::int64_t> good_rows;  // rows whose pictures could be read, ascending
};

// The position of the token that stands for each row of ids [N, L], int64 [N]: the first place of
// `pooled_id`, or of the largest id when it is -1; of padded texts the last.
at::Tensor end_positions(const at::Tensor& ids, bool is_padded, std::int64_t pooled_id = -1);

// The length to which a batch of ids is cut: the longest caption, rounded up to a multiple of 8, at
// most the context length.
std::int64_t cut_length(const at::Tensor& ends, std::int64_t context_length);

}  // namespace saferclip
