// Outcome tables as the numbers of an evaluation document.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "saferclip/eval/document.h"
#include "saferclip/eval/outcomes.h"

namespace saferclip {

// A table and the place in the document where its paths begin.
struct PlacedTable {
  std::vector<std::string> place;
  OutcomeTable table;
};

// Writes each column's percentage at its path, and the number of its rows as "n" beside it
// ("n_image", "n_safe_image" in unsafe_top1 and by_tag, whose "n" is that of the texts).
void write_percentages(const PlacedTable& table, OrderedJson& model);

// {"safeground.gs": [low, high], …}: 95 % bootstrap intervals by dotted path. `stop`, here and
// below, ends the work with Interrupted.
OrderedJson intervals_json(const std::vector<PlacedTable>& tables, std::int64_t resamples,
                           const StopFlag* stop);

// {"safeground.gs": {"difference", "low", "high", "p", "n"}, …}: second − first, paired. Tables and
// columns that only one side has are left out.
OrderedJson differences_json(const std::vector<PlacedTable>& first,
                             const std::vector<PlacedTable>& second, std::int64_t resamples,
                             const StopFlag* stop);

}  // namespace saferclip
