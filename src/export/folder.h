// What all exports have in common.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/export/export.h"

namespace saferclip {

using TextFiles = std::vector<std::pair<std::string, std::string>>;  // name and content

// Makes request.folder, complete or not at all: what `write` puts into a temporary sibling, then
// `beside` and the model card.
void write_folder(const ExportRequest& request,
                  const std::function<void(const std::filesystem::path&)>& write,
                  const TextFiles& beside);

}  // namespace saferclip
