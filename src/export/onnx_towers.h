// The two towers as ONNX graphs.
#pragma once

#include "export/onnx_graph.h"
#include "saferclip/model/clip_model.h"

namespace saferclip {

// Names of the graphs' inputs and outputs, those of transformers and Optimum.
inline constexpr const char* kTextInput = "input_ids";
inline constexpr const char* kTextOutput = "text_embeds";
inline constexpr const char* kVisionInput = "pixel_values";
inline constexpr const char* kVisionOutput = "image_embeds";

// input_ids int64 [batch, length] to text_embeds fp32 [batch, E], not L2-normalized. A causal
// tower takes any length up to the context; another one takes texts padded to the context.
// `type`: fp32 or fp16, of weights and products. The graph refers to the model's tensors.
OnnxGraph text_graph(const ClipModel& model, at::ScalarType type);

// pixel_values fp32 [batch, 3, S, S], preprocessed, to image_embeds fp32 [batch, E], not
// L2-normalized.
OnnxGraph vision_graph(const ClipModel& model, at::ScalarType type);

}  // namespace saferclip
