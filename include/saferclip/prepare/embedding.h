// Captions and pictures to L2-normalised fp32 embeddings. Rows of one length go through the model
// in blocks of one shape, so that a row's bits do not depend on the rows beside it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/preprocessing.h"
#include "saferclip/core/stop.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {

struct EmbedOptions {
  std::int64_t block = 64;
  const StopFlag* stop = nullptr;  // asked between blocks of rows and inside them
  // A list shorter than a block fills a whole one too: then a row's bits do not depend on the
  // number of rows either, and it can be embedded apart from the others.
  bool fills_blocks = false;
};

struct TokenRows {
  at::Tensor ids;     // int32 [N, context length], zeros behind the last id
  at::Tensor is_cut;  // uint8 [N]: the caption is longer than the context
};
TokenRows token_rows(const Tokenizer& tokenizer, const std::vector<std::string>& captions);

// uint8 pixels [N, S, S, 3] to [N, E] on the CPU. Throws Interrupted.
at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, Logger& log, const std::string& label,
                        const EmbedOptions& options = {});
// The rows `positions` (int64 [M]) of them, to [M, E].
at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const at::Tensor& positions, Logger& log,
                        const std::string& label, const EmbedOptions& options);

// The same of pixels of which some rows show one picture, which is embedded once: `picture` [N] as
// ImageCache has it. Rows without a picture are zero.
at::Tensor embed_pictures(const ClipModel& model, const Preprocessing& preprocessing,
                          const at::Tensor& pixels, const std::vector<std::int64_t>& picture,
                          Logger& log, const std::string& label, const EmbedOptions& options = {});

// Token ids int32 [N, C] to [N, E] on the CPU. Equal rows are embedded once and give equal bits.
at::Tensor embed_ids(const ClipModel& model, const at::Tensor& ids, Logger& log,
                     const std::string& label, const EmbedOptions& options = {});

}  // namespace saferclip
