// The prepared artifacts of a manifest, opened for reading: memory-mapped tensors whose row i is
// row i of the manifest. Legend: N manifest rows, S image side, C context length, E embedding
// width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/quadruplet.h"
#include "saferclip/data/host_memory.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct ImageCache {
  at::Tensor safe;            // uint8 [N, S, S, 3]; zeros where missing
  at::Tensor unsafe;          // the same; undefined when the split has no unsafe half
  at::Tensor valid;           // uint8 [N, 2]: whether the safe, the unsafe picture exists
  at::Tensor safe_digests;    // uint8 [N, 32]: SHA-256 of the picture files; zeros where missing
  at::Tensor unsafe_digests;  // the same, or undefined
  // [N]: the first row with the same picture bytes (captions may share a picture); -1: no picture.
  std::vector<std::int64_t> safe_picture;
  std::vector<std::int64_t> unsafe_picture;
  std::string content;  // hash of the picture files' bytes
};

// Which token of a caption is pooled.
struct PooledToken {
  bool is_last = false;  // of a caption padded to the context
  std::int64_t id = -1;  // else the first with this id; -1: the first with the largest id
};

struct TokenCache {
  at::Tensor safe;    // int32 [N, C], padded after the end mark
  at::Tensor unsafe;  // the same, or undefined
  PooledToken pooled;
  std::string key;
};

// L2-normalized fp32 embeddings [N, E] of the frozen reference; rows of missing pictures are zero.
struct ReferenceCache : EmbeddingRows {
  std::string key;
};

// The target of each row of a split within the pool: the captions of P manifest rows (those of the
// training split) and X extra captions.
struct TargetCache {
  // int64 [N], caption: a pool row, P + an extra caption, or -1: the row's own, which is not in the
  // pool.
  at::Tensor index;
  at::Tensor image_index;                   // int64 [N], picture: a pool row, or -1: the row's own
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

// The position of the pooled token in each row of ids [N, L], int64 [N].
at::Tensor end_positions(const at::Tensor& ids, const PooledToken& pooled,
                         HostMemory memory = HostMemory::kPageable);

// The length to which a batch of ids is cut: the longest caption, rounded up to a multiple of 8, at
// most the context length.
std::int64_t cut_length(const at::Tensor& ends, std::int64_t context_length);

}  // namespace saferclip
