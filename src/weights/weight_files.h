// Which files a path means.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "saferclip/weights/weights.h"
#include "weights/layouts.h"
#include "weights/tensor_files.h"

namespace saferclip {

// `path` when it is a folder, else the folder that the file is in.
std::filesystem::path folder_of(const std::filesystem::path& path);

// The files that the layout's client takes out of a folder; notes what else is there. Throws
// WeightsError naming what was expected.
std::shared_ptr<const TensorFiles> client_files(const Layout& layout,
                                                const std::filesystem::path& folder,
                                                std::vector<std::string>& notes);

// Weights of a folder, or of exactly the file (or index of shards) that is named; the names of its
// tensors choose the configuration beside it. Both throw WeightsError and ConfigError as
// open_weights does.
WeightsSource open_folder(const std::filesystem::path& folder, const ModelOptions& options);
WeightsSource open_named_file(const std::filesystem::path& file, const ModelOptions& options);

}  // namespace saferclip
