// Writes outcome columns as numbers at their paths in the document, with intervals and paired
// differences under dotted paths. A percentage and its interval come from the same column, so the
// document cannot contradict itself; a fixed seed gives equal outcomes equal intervals.
#include "saferclip/evaluate/scores_json.h"

#include <algorithm>

#include "saferclip/core/text_format.h"
#include "saferclip/eval/intervals.h"

namespace saferclip {
namespace {

using Path = std::vector<std::string>;

constexpr std::uint64_t kSeed = 1;  // the same outcomes get the same intervals in every run

Path joined(const Path& place, const Path& path) {
  Path whole = place;
  whole.insert(whole.end(), path.begin(), path.end());
  for (std::string& word : whole) word = path_word(word);
  return whole;
}

OrderedJson& node_at(OrderedJson& json, const Path& path, std::size_t length) {
  OrderedJson* node = &json;
  for (std::size_t i = 0; i < length; ++i) node = &(*node)[path[i]];
  return *node;
}

// The depth of the object that holds a metric's "n": the metric's parent, or the tag in by_tag.
std::optional<std::size_t> count_depth(const Path& path) {
  if (path.front() == "by_tag") return 2;
  if (path.size() > 1 && path[path.size() - 2] == "predicted") return std::nullopt;
  return path.size() - 1;
}

// The name of a metric's query count. Where texts and pictures share an object, "n" counts the
// texts; a picture shown by several rows is one query.
std::string count_name(const Path& path) {
  const bool has_both = path.front() == "by_tag" || path.front() == "unsafe_top1";
  return has_both && path.back().ends_with("image") ? "n_" + path.back() : "n";
}

const OutcomeColumn* find_column(const OutcomeTable& table, const Path& path) {
  const auto found = std::find_if(table.columns.begin(), table.columns.end(),
                                  [&](const OutcomeColumn& c) { return c.keys == path; });
  return found == table.columns.end() ? nullptr : &*found;
}

// The columns that two tables share, in the order of the first.
std::pair<OutcomeTable, OutcomeTable> shared_columns(const OutcomeTable& first,
                                                     const OutcomeTable& second) {
  OutcomeTable a{first.rows, {}, first.cluster};
  OutcomeTable b{second.rows, {}, second.cluster};
  for (const OutcomeColumn& column : first.columns) {
    const OutcomeColumn* other = find_column(second, column.keys);
    if (other == nullptr) continue;
    a.columns.push_back(column);
    b.columns.push_back(*other);
  }
  return {std::move(a), std::move(b)};
}

}  // namespace

void write_percentages(const PlacedTable& placed, OrderedJson& model) {
  for (const OutcomeColumn& column : placed.table.columns) {
    const Path path = joined(placed.place, column.keys);
    node_at(model, path, path.size()) = percent_of(column);
    if (const auto depth = count_depth(path)) {
      node_at(model, path, *depth)[count_name(path)] = count_of(column);
    }
  }
}

OrderedJson intervals_json(const std::vector<PlacedTable>& tables, std::int64_t resamples,
                           const StopFlag* stop) {
  OrderedJson json = OrderedJson::object();
  for (const PlacedTable& placed : tables) {
    const auto intervals = bootstrap_intervals(placed.table, resamples, kSeed, stop);
    for (std::size_t i = 0; i < intervals.size(); ++i) {
      json[dotted(joined(placed.place, placed.table.columns[i].keys))] = {intervals[i].low,
                                                                          intervals[i].high};
    }
  }
  return json;
}

OrderedJson differences_json(const std::vector<PlacedTable>& first,
                             const std::vector<PlacedTable>& second, std::int64_t resamples,
                             const StopFlag* stop) {
  OrderedJson json = OrderedJson::object();
  for (const PlacedTable& one : first) {
    const auto other = std::find_if(second.begin(), second.end(), [&](const PlacedTable& table) {
      return table.place == one.place && table.table.rows == one.table.rows &&
             table.table.columns.front().keys == one.table.columns.front().keys;
    });
    if (other == second.end()) continue;
    const auto [a, b] = shared_columns(one.table, other->table);
    const auto differences = compare_paired(a, b, resamples, kSeed, stop);
    for (std::size_t i = 0; i < differences.size(); ++i) {
      const Difference& d = differences[i];
      json[dotted(joined(one.place, a.columns[i].keys))] = {{"difference", d.value},
                                                            {"low", d.interval.low},
                                                            {"high", d.interval.high},
                                                            {"p", d.p},
                                                            {"n", d.n}};
    }
  }
  return json;
}

}  // namespace saferclip
