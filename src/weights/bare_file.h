// A weights file without a configuration beside it.
#pragma once

#include <filesystem>
#include <memory>

#include "saferclip/weights/weights.h"
#include "weights/tensor_files.h"

namespace saferclip {

// The geometry comes from `model.architecture`, or from the shapes and names of OpenAI's layout.
// Throws WeightsError when neither gives it.
WeightsSource open_bare_file(const std::filesystem::path& file, const ModelOptions& options,
                             const std::shared_ptr<const TensorFiles>& files);

}  // namespace saferclip
