// From pixels and token ids to embeddings. Legend: B batch, L tokens, S image side in pixels, E
// embedding width.
#pragma once

#include <ATen/core/Tensor.h>

#include "saferclip/core/preprocessing.h"
#include "saferclip/model/clip_model.h"

namespace saferclip {

// uint8 pixels [B, S, S, 3] to embeddings [B, E], fp32, not L2-normalized.
at::Tensor encode_images(const ClipModel& model, const Preprocessing& preprocessing,
                         const at::Tensor& pixels, const ForwardMode& mode);

// Token ids [B, L] (int32 or int64, L ≤ context) and the position of the pooled token [B] int64
// (the end mark; in a padded text the last position), to embeddings [B, E], fp32, not
// L2-normalized.
at::Tensor encode_texts(const ClipModel& model, const at::Tensor& ids,
                        const at::Tensor& end_positions, const ForwardMode& mode);

// The text tower's last hidden states [B, L, D], fp32, after the final norm: what a text-to-image
// model is conditioned on.
at::Tensor text_states(const ClipModel& model, const at::Tensor& ids, const ForwardMode& mode);

// What the towers' blocks read: the tokens [B, L, D] of a picture, and of a caption with its
// positions.
at::Tensor image_tokens(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const ForwardMode& mode);
at::Tensor text_tokens(const ClipModel& model, const at::Tensor& ids, const ForwardMode& mode);

// Normalized pixels fp32 [B, 3, S, S], as a client's processor returns them: (x/255 - mean)/std.
at::Tensor normalise_pixels(const at::Tensor& pixels, const Preprocessing& preprocessing);

}  // namespace saferclip
