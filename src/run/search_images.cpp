// Cosines are summed in double, so that rows that are equal get equal scores whatever their place,
// and the printed order is the one that the numbers say.
#include "saferclip/run/search_images.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "run/table_cells.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

std::vector<Match> best_matches(const LookSide& side, std::int64_t query, std::int64_t top) {
  const at::Tensor cosines = at::mv(side.images.to(at::kDouble), side.texts[query].to(at::kDouble));
  const auto [sorted, order] = cosines.sort(/*stable=*/true, 0, /*descending=*/true);
  std::vector<Match> matches;
  for (std::int64_t i = 0; i < std::min(top, order.numel()); ++i) {
    matches.push_back(
        {static_cast<std::size_t>(order[i].item<std::int64_t>()), sorted[i].item<double>()});
  }
  return matches;
}

constexpr std::size_t kRankWidth = 5;
constexpr std::size_t kCosineWidth = 8;
constexpr std::size_t kGap = 2;

std::size_t name_width(const Look& look) {
  const std::size_t sides = look.sides.size();
  return (kTableWidth - kRankWidth - kGap * (sides - 1)) / sides - kCosineWidth;
}

std::string table_head(const Look& look) {
  std::string line(kRankWidth, ' ');
  for (const LookSide& side : look.sides) {
    if (&side != &look.sides.front()) line += std::string(kGap, ' ');
    line += text_cell(look.sides.size() == 1 ? "image" : side.name, name_width(look)) + "  cosine";
  }
  return line + "\n";
}

}  // namespace

SearchResults search_images(const Look& look, const std::vector<std::string>& queries,
                            std::int64_t top) {
  SearchResults results{queries, {}};
  for (std::size_t query = 0; query < queries.size(); ++query) {
    std::vector<std::vector<Match>> sides;
    for (const LookSide& side : look.sides) {
      sides.push_back(best_matches(side, static_cast<std::int64_t>(query), top));
    }
    results.matches.push_back(std::move(sides));
  }
  return results;
}

std::string search_table(const Look& look, const SearchResults& results) {
  std::string text;
  for (std::size_t query = 0; query < results.queries.size(); ++query) {
    const auto& sides = results.matches[query];
    text += cat(query == 0 ? "" : "\n",
                cut_to_columns(cat("\"", results.queries[query], "\""), kTableWidth), "\n",
                table_head(look));
    for (std::size_t rank = 0; rank < sides.front().size(); ++rank) {
      text +=
          number_cell(static_cast<double>(rank + 1), 0, kRankWidth - kGap) + std::string(kGap, ' ');
      for (const std::vector<Match>& matches : sides) {
        if (&matches != &sides.front()) text += std::string(kGap, ' ');
        const Match& match = matches[rank];
        text += path_cell(look.names[match.image], name_width(look)) +
                number_cell(match.cosine, 3, kCosineWidth);
      }
      text += "\n";
    }
  }
  return text;
}

OrderedJson search_json(const Look& look, const SearchResults& results) {
  OrderedJson json = look_json(look);
  json["queries"] = OrderedJson::array();
  for (std::size_t query = 0; query < results.queries.size(); ++query) {
    OrderedJson entry{{"query", results.queries[query]}};
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      OrderedJson list = OrderedJson::array();
      for (const Match& match : results.matches[query][side]) {
        list.push_back({{"image", look.names[match.image]}, {"cosine", match.cosine}});
        if (!look.looks_unsafe.empty()) {
          list.back()["looks_unsafe"] = bool{look.looks_unsafe[match.image]};
        }
      }
      entry[look.sides[side].name] = std::move(list);
    }
    json["queries"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace saferclip
