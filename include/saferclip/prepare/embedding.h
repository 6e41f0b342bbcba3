// Embeds captions and pictures as fp32 rows, L2-normalized unless a job wants them as they are.
// Rows of one length go through the model in blocks of one shape, so a row's bits do not depend on
// its neighbors, nor on how many processes share the blocks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/preprocessing.h"
#include "saferclip/core/stop.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {

// How rows are embedded.
struct EmbedJob {
  Logger& log;
  std::string label;  // of the progress
  std::int64_t block = 64;
  const StopFlag* stop = nullptr;  // checked between blocks of rows and inside them
  // Pads a list shorter than a block to a whole one: then a row's bits do not depend on the number
  // of rows either, and it can be embedded separately.
  bool fills_blocks = false;
  // They share the blocks, and each gets all rows: every one of them calls, with the same rows. A
  // request to stop in one of them stops all.
  Processes processes = {};
  bool normalizes = true;
};

// Which of `count` pictures this process embeds: the others' pixels are not read.
std::vector<bool> is_embedded_here(std::int64_t count, const EmbedJob& job);

struct TokenRows {
  at::Tensor ids;     // int32 [N, context length], zeros after the last id
  at::Tensor is_cut;  // uint8 [N]: the caption exceeds the context
};
TokenRows token_rows(const Tokenizer& tokenizer, const std::vector<std::string>& captions);

// Embeds uint8 pixels [N, S, S, 3]; returns [N, E] on the CPU. Throws Interrupted.
at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const EmbedJob& job);
// Embeds the rows `positions` (int64 [M]) alone; returns [M, E].
at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const at::Tensor& positions, const EmbedJob& job);

// The same where rows share pictures, each embedded once: `picture` [N] as in ImageCache. Rows
// without a picture are zero.
at::Tensor embed_pictures(const ClipModel& model, const Preprocessing& preprocessing,
                          const at::Tensor& pixels, const std::vector<std::int64_t>& picture,
                          const EmbedJob& job);

// Embeds token ids int32 [N, C]; returns [N, E] on the CPU. Equal rows are embedded once and get
// equal bits.
at::Tensor embed_ids(const ClipModel& model, const at::Tensor& ids, const EmbedJob& job);

// By how much the text tower's last hidden states of captions (token ids int32 [N, C]) differ
// between two models of one geometry: |H − H0| / |H0| over the tokens up to the pooled one, the
// mean over captions. Blocks and stops are the job's.
double hidden_change(const ClipModel& model, const ClipModel& reference, const at::Tensor& ids,
                     const EmbedJob& job);

}  // namespace saferclip
