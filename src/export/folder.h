// What the exports share: a folder that is complete or absent.
#pragma once

#include <filesystem>
#include <functional>

#include "saferclip/export/export.h"

namespace saferclip {

// Fills a temporary sibling and renames it. README.md is the request's model card.
void write_export(const ExportRequest& request,
                  const std::function<void(const std::filesystem::path&)>& fill);

void write_tokenizer(const std::filesystem::path& folder, const Tokenizer& tokenizer);

// Throws ConfigError when one tower alone is asked of a format that has both.
void require_both_towers(const ExportRequest& request, const char* format);

}  // namespace saferclip
