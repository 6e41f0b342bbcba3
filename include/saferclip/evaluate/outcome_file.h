// The outcomes of every query behind an evaluation's percentages, kept so that runs can be compared
// by paired tests later.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "saferclip/evaluate/scores_json.h"

namespace saferclip {

// Writes the tables of the model whose scores in the document are `scores`. Throws Error if writing
// fails.
void write_outcomes(const std::filesystem::path& path, const std::vector<PlacedTable>& tables,
                    const OrderedJson& scores);

// None if the file is missing, damaged or belongs to other scores.
std::optional<std::vector<PlacedTable>> read_outcomes(const std::filesystem::path& path,
                                                      const OrderedJson& scores);

}  // namespace saferclip
