// OpenAI's layout: bare files.
#pragma once

#include <string>

#include "weights/layouts.h"
#include "weights/tensor_layout.h"

namespace saferclip {

extern const Layout kOpenAiLayout;

// Where a canonical tensor of a CLIP stands; WeightsError: no such tensor.
SourceTensor openai_tensor(const std::string& canonical);

// open_clip's CustomTextCLIP puts the text tower under this; it is read as if at the top.
inline constexpr const char* kTextPrefix = "text.";
bool has_text_prefix(const TensorFiles& files);
// OpenAI's TorchScript archives carry three integers that nothing else does.
bool is_openai_archive(const TensorFiles& files);

// Geometry from shapes alone (OpenAI's own rule, heads of width 64), activation left open.
ClipGeometry inferred_geometry(const TensorFiles& files);

}  // namespace saferclip
