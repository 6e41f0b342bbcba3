// Several runs side by side: the figures of one split, which run is best, what a seed changes, and
// where the configurations differ; as a terminal table, CSV, Markdown, LaTeX, HTML and JSON.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/eval/figures.h"

namespace saferclip {

using KeyValues = std::vector<std::pair<std::string, std::string>>;

// A run with its evaluation of the split.
struct ComparedRun {
  std::string name;   // differs from those of the other runs
  std::string given;  // as written on the command line
  std::int64_t step = 0;
  OrderedJson document;
  KeyValues config;   // by dotted key, without the name and places of the run
  std::string setup;  // equal in runs that differ in nothing but their seed
  std::string seed;
  std::string metrics;  // lines of metrics.jsonl
  // Paired differences to the first run by a figure's id, as in a document's `change`; null if they
  // are not known.
  OrderedJson against_first = nullptr;
};

enum class ColumnKind { kBefore, kRun, kSeeds, kPublished };

struct ComparedColumn {
  std::string name;
  ColumnKind kind = ColumnKind::kRun;
  std::vector<std::size_t> runs;  // their positions; of kBefore those that start from it
};

// The sign of a paired difference to the first run, from the bootstrap over the same rows.
enum class AgainstFirst { kUntested, kBetter, kWorse, kUnclear };

struct ComparedCell {
  std::optional<double> value;                        // of kSeeds: the mean
  std::optional<std::pair<double, double>> interval;  // 95 %: over rows; of kSeeds: t, over seeds
  // Of the tuned models, unless an interval over seeds reaches another's.
  bool is_best = false;
  AgainstFirst against_first = AgainstFirst::kUntested;
};

struct ComparedFigure {
  Figure figure;
  std::vector<ComparedCell> cells;  // by column
  bool is_open = false;             // no best: intervals over seeds do not tell the leaders apart
};

struct ConfigDifference {
  std::string key;
  std::vector<std::string> values;  // by column; empty for columns that are no run
};

struct Comparison {
  std::string split;
  std::string content;  // hash of the measured rows
  std::int64_t rows = 0;
  std::vector<ComparedRun> runs;
  std::vector<ComparedColumn> columns;  // before, runs and groups in the order given, published
  std::vector<ComparedFigure> figures;
  std::vector<ConfigDifference> differences;
  std::vector<std::size_t> untested;  // runs, shown by themselves, without a test against the first
};

// A value from elsewhere: a paper's, say.
struct PublishedValue {
  std::string metric;  // a figure's id
  std::string name;    // of its column
  double value = 0;
};
// Reads a table with the columns metric, name and value. Throws DataError with every bad row.
std::vector<PublishedValue> read_published(const std::filesystem::path& file);

enum class Seeds { kGrouped, kEach };

// All runs must be evaluated on the same rows. `skipped`, if not null, receives the metrics of
// `published` that the runs do not have.
Comparison compare_figures(std::vector<ComparedRun> runs, Seeds seeds,
                           const std::vector<PublishedValue>& published,
                           std::vector<std::string>* skipped);

// Within 80 columns: many runs make several blocks.
std::string comparison_table(const Comparison& comparison);
// Full precision, in the document's unit; a group also has its half width.
std::string comparison_csv(const Comparison& comparison);
std::string comparison_markdown(const Comparison& comparison);
// A tabular of the package booktabs.
std::string comparison_latex(const Comparison& comparison);
// One page that needs no network: the table, safety over preservation, the losses of all runs.
std::string comparison_page(const Comparison& comparison);
OrderedJson comparison_json(const Comparison& comparison);

}  // namespace saferclip
