// The images of a look that are nearest to each text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/eval/document.h"
#include "saferclip/run/look.h"

namespace saferclip {

struct Match {
  std::size_t image = 0;  // position in Look::files
  double cosine = 0;
};

struct SearchResults {
  std::vector<std::string> queries;
  std::vector<std::vector<std::vector<Match>>> matches;  // [query][side], best first
};

// The `top` images of each text of the look by cosine; ties rank by path.
SearchResults search_images(const Look& look, const std::vector<std::string>& queries,
                            std::int64_t top);

// For the terminal, within 100 columns.
std::string search_table(const Look& look, const SearchResults& results);
OrderedJson search_json(const Look& look, const SearchResults& results);

}  // namespace saferclip
