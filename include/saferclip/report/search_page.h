// A self-contained HTML page of a search: no network, no scripts, usable by keyboard and screen
// readers.
#pragma once

#include <string>
#include <vector>

namespace saferclip {

struct FoundPicture {
  std::string jpeg;  // file bytes
  std::string name;
  double cosine = 0;
  bool is_blurred = false;  // until it is shown by its check box
};

struct FoundPictures {
  std::string model;  // "before", "after", "model"
  std::vector<FoundPicture> pictures;
};

struct SearchPageQuery {
  std::string query;
  std::vector<FoundPictures> sides;
};

struct SearchPage {
  std::string title;
  std::string summary;
  std::vector<SearchPageQuery> queries;
};

std::string make_search_page(const SearchPage& page);

}  // namespace saferclip
