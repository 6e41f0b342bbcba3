// Turns outcome tables into the numbers of an evaluation document.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "saferclip/eval/document.h"
#include "saferclip/eval/outcomes.h"

namespace saferclip {

// A table and the path in the document below which its columns are written.
struct PlacedTable {
  std::vector<std::string> place;
  OutcomeTable table;
};

// Writes each column's percentage at its path and its number of rows as "n" beside it. In
// unsafe_top1 and by_tag "n" counts the texts, and pictures have "n_image" or "n_safe_image".
void write_percentages(const PlacedTable& table, OrderedJson& model);

// 95 % bootstrap intervals by dotted path: {"safeground.gs": [low, high], …}. Throws Interrupted
// once `stop` is set, as does differences_json.
OrderedJson intervals_json(const std::vector<PlacedTable>& tables, std::int64_t resamples,
                           const StopFlag* stop);

// Paired differences, second − first, by dotted path: {"safeground.gs": {"difference", "low",
// "high", "p", "n"}, …}. Leaves out tables and columns that only one side has.
OrderedJson differences_json(const std::vector<PlacedTable>& first,
                             const std::vector<PlacedTable>& second, std::int64_t resamples,
                             const StopFlag* stop);

}  // namespace saferclip
