// OpenAI's layout: bare files.
#pragma once

#include <string>

#include "weights/layouts.h"
#include "weights/tensor_layout.h"

namespace saferclip {

extern const Layout kOpenAiLayout;

// Where the layout stores a canonical tensor of a CLIP; throws WeightsError when it has none.
SourceTensor openai_tensor(const std::string& canonical);

// open_clip's CustomTextCLIP prefixes the text tower with this; it is read as if without.
inline constexpr const char* kTextPrefix = "text.";
bool has_text_prefix(const TensorFiles& files);
// OpenAI's TorchScript archives hold three integers that no other file has.
bool is_openai_archive(const TensorFiles& files);

// Geometry from shapes alone (OpenAI's own rule, heads of width 64); the activation is not set.
ClipGeometry inferred_geometry(const TensorFiles& files);

}  // namespace saferclip
