// A file of weights without the configuration of its folder.
#pragma once

#include <filesystem>
#include <memory>

#include "saferclip/weights/weights.h"
#include "weights/tensor_files.h"

namespace saferclip {

// What the model is says `model.architecture`, or the shapes and names of OpenAI's layout. Throws
// WeightsError when neither does.
WeightsSource open_bare_file(const std::filesystem::path& file, const ModelOptions& options,
                             const std::shared_ptr<const TensorFiles>& files);

}  // namespace saferclip
