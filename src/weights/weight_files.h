// Decides which files a path means.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "saferclip/weights/weights.h"
#include "weights/layouts.h"
#include "weights/tensor_files.h"

namespace saferclip {

// `path` if it is a folder, else the file's folder.
std::filesystem::path folder_of(const std::filesystem::path& path);

// The files that the layout's client loads from a folder; notes which others are there. Throws
// WeightsError naming what was expected.
std::shared_ptr<const TensorFiles> client_files(const Layout& layout,
                                                const std::filesystem::path& folder,
                                                std::vector<std::string>& notes);

// Opens the weights of a folder, or exactly the named file or index of shards, whose tensor names
// select the configuration beside it. Both throw WeightsError and ConfigError as open_weights does.
WeightsSource open_folder(const std::filesystem::path& folder, const ModelOptions& options);
WeightsSource open_named_file(const std::filesystem::path& file, const ModelOptions& options);

}  // namespace saferclip
