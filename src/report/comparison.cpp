// Lays runs side by side. A mark is a claim, so it needs evidence: better or worse than the first
// run comes from a paired test that an evaluation keeps (`evaluate --against`), never from
// intervals that happen not to overlap. That the test was made against this very run is read off
// the other model's drift and embedding space, which the document repeats: names and folders may
// have changed since.
#include "saferclip/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "saferclip/core/text_format.h"
#include "saferclip/eval/spread.h"

namespace saferclip {
namespace {

constexpr double kSameNumber = 1e-6;  // relative: sums differ in their order

const OrderedJson& tuned(const ComparedRun& run) {
  static const OrderedJson kNone;
  const OrderedJson* after = find_path(run.document, "after");
  return after == nullptr ? kNone : *after;
}

const OrderedJson& reference_of(const ComparedRun& run) {
  static const OrderedJson kNone;
  const OrderedJson* before = find_path(run.document, "before");
  return before == nullptr ? kNone : *before;
}

std::string text_at(const OrderedJson& document, const char* key) {
  const OrderedJson* found = find_path(document, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : "";
}

// What "before" depends on.
std::string base_of(const ComparedRun& run) {
  return text_at(run.document, "weights") + text_at(run.document, "preprocessing");
}

bool is_same_number(double a, double b) {
  return std::abs(a - b) <= kSameNumber * std::max(std::abs(a), std::abs(b));
}

bool is_same_model(const OrderedJson& one, const OrderedJson& other) {
  std::size_t count = 0;
  for (const FigurePart part : {FigurePart::kDrift, FigurePart::kSpace}) {
    for (const Figure& figure : figures_in(one, part)) {
      const auto value = number_at(other, figure.id);
      if (!value || !is_same_number(*number_at(one, figure.id), *value)) return false;
      ++count;
    }
  }
  return count > 0;
}

// The name that the runs of a group share: "safe,lr=0.1,seed=1" and "…=2" -> "safe,lr=0.1".
std::string shared_name(const std::vector<std::string>& names) {
  std::string shared = names.front();
  for (const std::string& name : names) {
    const auto end = std::mismatch(shared.begin(), shared.end(), name.begin(), name.end()).first;
    shared.erase(end, shared.end());
  }
  const auto cut = [&] {
    const std::size_t end = shared.find_last_not_of(" -_.,=+@");
    shared.erase(end == std::string::npos ? 0 : end + 1);
  };
  cut();
  if (shared.ends_with("seed")) {
    shared.erase(shared.size() - 4);
    cut();
  }
  return shared.empty() ? names.front() : shared;
}

// Better (+1) or worse (-1) by the interval of a paired difference.
AgainstFirst verdict(const OrderedJson& differences, const Figure& figure, int direction) {
  const auto found = differences.find(figure.id);
  const int sign = direction * sign_of(figure.better);
  if (found == differences.end() || sign == 0) return AgainstFirst::kUntested;
  const auto low = number_at(*found, "low"), high = number_at(*found, "high");
  if (!low || !high) return AgainstFirst::kUntested;
  if (*low <= 0 && *high >= 0) return AgainstFirst::kUnclear;
  return (*low > 0) == (sign > 0) ? AgainstFirst::kBetter : AgainstFirst::kWorse;
}

class Comparer {
 public:
  Comparer(std::vector<ComparedRun> runs, const std::vector<PublishedValue>& published)
      : published_(published) {
    c_.runs = std::move(runs);
    const OrderedJson& document = c_.runs.front().document;
    c_.split = text_at(document, "split");
    c_.content = text_at(document, "content");
    c_.rows = static_cast<std::int64_t>(number_at(document, "n").value_or(0));
  }

  Comparison make(Seeds seeds, std::vector<std::string>* skipped) {
    add_before();
    add_runs(seeds);
    add_published();
    add_figures();
    mark_best();
    add_differences();
    if (skipped != nullptr) *skipped = missing_metrics();
    return std::move(c_);
  }

 private:
  void add_before() {
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < c_.runs.size(); ++i) {
      if (!reference_of(c_.runs[i]).is_object()) continue;
      const auto [place, is_new] = places.emplace(base_of(c_.runs[i]), c_.columns.size());
      if (is_new) c_.columns.push_back({"before", ColumnKind::kBefore, {}});
      c_.columns[place->second].runs.push_back(i);
    }
    if (c_.columns.size() < 2) return;
    for (ComparedColumn& column : c_.columns) {
      column.name = cat("before ", c_.runs[column.runs.front()].name);
    }
  }

  void add_runs(Seeds seeds) {
    std::map<std::string, std::size_t> places;
    const std::size_t first = c_.columns.size();
    for (std::size_t i = 0; i < c_.runs.size(); ++i) {
      const std::string key = seeds == Seeds::kEach ? cat(i) : c_.runs[i].setup;
      const auto [place, is_new] = places.emplace(key, c_.columns.size());
      if (is_new) c_.columns.push_back({c_.runs[i].name, ColumnKind::kRun, {}});
      c_.columns[place->second].runs.push_back(i);
    }
    for (std::size_t i = first; i < c_.columns.size(); ++i) {
      ComparedColumn& column = c_.columns[i];
      if (column.runs.size() < 2) continue;
      std::vector<std::string> names;
      for (const std::size_t run : column.runs) names.push_back(c_.runs[run].name);
      column.kind = ColumnKind::kSeeds;
      column.name = cat(shared_name(names), " (", names.size(), " seeds)");
    }
    first_ = first;
    add_untested(first);
  }

  void add_untested(std::size_t first) {
    const bool has_first = c_.columns[first].kind == ColumnKind::kRun;
    for (std::size_t i = first + 1; has_first && i < c_.columns.size(); ++i) {
      const ComparedColumn& column = c_.columns[i];
      if (column.kind == ColumnKind::kRun && against_first(column) == nullptr) {
        c_.untested.push_back(column.runs.front());
      }
    }
  }

  void add_published() {
    for (const PublishedValue& value : published_) {
      const bool is_known =
          std::any_of(c_.columns.begin(), c_.columns.end(), [&](const ComparedColumn& column) {
            return column.kind == ColumnKind::kPublished && column.name == value.name;
          });
      if (!is_known) c_.columns.push_back({value.name, ColumnKind::kPublished, {}});
    }
  }

  void add_figures() {
    OrderedJson all = OrderedJson::object();
    for (const ComparedRun& run : c_.runs) {
      for (const OrderedJson* model : {&tuned(run), &reference_of(run)}) {
        if (model->is_object()) all.merge_patch(*model);
      }
    }
    for (const Figure& figure : shown_figures(all)) {
      ComparedFigure row{figure, {}, false};
      for (const ComparedColumn& column : c_.columns) row.cells.push_back(cell(column, figure));
      c_.figures.push_back(std::move(row));
    }
  }

  ComparedCell cell(const ComparedColumn& column, const Figure& figure) const {
    switch (column.kind) {
      case ColumnKind::kBefore:
        return before_cell(column, figure);
      case ColumnKind::kRun:
        return run_cell(column, figure);
      case ColumnKind::kSeeds:
        return seeds_cell(column, figure);
      case ColumnKind::kPublished:
        break;
    }
    for (const PublishedValue& value : published_) {
      if (value.name == column.name && value.metric == figure.id) return {value.value, {}};
    }
    return {};
  }

  // Runs of one reference may have measured different sets.
  ComparedCell before_cell(const ComparedColumn& column, const Figure& figure) const {
    ComparedCell cell;
    for (const std::size_t run : column.runs) {
      const OrderedJson& model = reference_of(c_.runs[run]);
      cell.value = number_at(model, figure.id);
      cell.interval = interval_at(model, figure.id);
      if (cell.value) break;
    }
    const ComparedColumn& first = c_.columns[first_];
    const bool is_own =
        std::find(column.runs.begin(), column.runs.end(), first.runs.front()) != column.runs.end();
    if (first.kind != ColumnKind::kRun || !is_own) return cell;
    const OrderedJson* change = find_path(c_.runs[first.runs.front()].document, "change");
    if (change != nullptr && change->is_object()) cell.against_first = verdict(*change, figure, -1);
    return cell;
  }

  // The paired differences of a run to the first one; null if none were measured.
  const OrderedJson* against_first(const ComparedColumn& column) const {
    const ComparedColumn& first = c_.columns[first_];
    const ComparedRun& run = c_.runs[column.runs.front()];
    if (first.kind == ColumnKind::kRun && run.against_first.is_object()) {
      return &run.against_first;
    }
    const OrderedJson* against = find_path(run.document, "against");
    if (first.kind != ColumnKind::kRun || against == nullptr) return nullptr;
    const ComparedRun& other = c_.runs[first.runs.front()];
    const OrderedJson *after = find_path(*against, "after"),
                      *difference = find_path(*against, "difference");
    const bool is_it = after != nullptr && difference != nullptr && difference->is_object() &&
                       number_at(*against, "step") == static_cast<double>(other.step) &&
                       is_same_model(tuned(other), *after);
    return is_it ? difference : nullptr;
  }

  ComparedCell run_cell(const ComparedColumn& column, const Figure& figure) const {
    const OrderedJson& model = tuned(c_.runs[column.runs.front()]);
    ComparedCell cell{number_at(model, figure.id), interval_at(model, figure.id)};
    const OrderedJson* difference = against_first(column);
    if (difference != nullptr) cell.against_first = verdict(*difference, figure, +1);
    return cell;
  }

  ComparedCell seeds_cell(const ComparedColumn& column, const Figure& figure) const {
    std::vector<double> values;
    for (const std::size_t run : column.runs) {
      const auto value = number_at(tuned(c_.runs[run]), figure.id);
      if (value) values.push_back(*value);
    }
    // A mean over some of the seeds would stand beside means over all of them.
    if (values.size() < column.runs.size()) return {};
    const Spread spread = spread_of(values);
    return {spread.mean,
            std::pair(spread.mean - spread.half_width, spread.mean + spread.half_width)};
  }

  // Whether the interval over seeds of one cell holds a part of the other's. A single run is a
  // point: its interval, over rows, says nothing about other seeds.
  bool reaches(const ComparedFigure& row, const ComparedCell& one,
               const ComparedCell& other) const {
    const auto range_of = [&](const ComparedCell& cell) {
      const auto column = static_cast<std::size_t>(&cell - row.cells.data());
      const bool is_group = c_.columns[column].kind == ColumnKind::kSeeds && cell.interval;
      return is_group ? *cell.interval : std::pair(*cell.value, *cell.value);
    };
    const auto [low, high] = range_of(one);
    const auto [other_low, other_high] = range_of(other);
    return low <= other_high && other_low <= high;
  }

  void mark_best() {
    for (ComparedFigure& row : c_.figures) {
      const int sign = sign_of(row.figure.better);
      std::vector<ComparedCell*> cells;
      for (std::size_t i = 0; i < c_.columns.size(); ++i) {
        const ColumnKind kind = c_.columns[i].kind;
        const bool is_tuned = kind == ColumnKind::kRun || kind == ColumnKind::kSeeds;
        if (is_tuned && row.cells[i].value) cells.push_back(&row.cells[i]);
      }
      const auto worse = [&](const ComparedCell* a, const ComparedCell* b) {
        return sign * *a->value < sign * *b->value;
      };
      if (sign == 0 || cells.empty()) continue;
      const auto [low, high] = std::minmax_element(cells.begin(), cells.end(), worse);
      const double best = *(*high)->value;
      if (is_same_number(*(*low)->value, best)) continue;  // all are as good
      row.is_open = std::any_of(cells.begin(), cells.end(), [&](const ComparedCell* cell) {
        return !is_same_number(*cell->value, best) && reaches(row, **high, *cell);
      });
      for (ComparedCell* cell : cells) {
        cell->is_best = !row.is_open && is_same_number(*cell->value, best);
      }
    }
  }

  std::string value_of(const ComparedColumn& column, const std::string& key) const {
    std::vector<std::string> values;
    const bool is_run = column.kind == ColumnKind::kRun || column.kind == ColumnKind::kSeeds;
    for (std::size_t i = 0; is_run && i < column.runs.size(); ++i) {
      for (const auto& [name, value] : c_.runs[column.runs[i]].config) {
        const bool is_new = std::find(values.begin(), values.end(), value) == values.end();
        if (name == key && is_new) values.push_back(value);
      }
    }
    return join(values, ", ");
  }

  void add_differences() {
    std::vector<std::string> keys;
    std::map<std::string, std::map<std::string, std::size_t>> counts;  // key, value, runs
    for (const ComparedRun& run : c_.runs) {
      for (const auto& [key, value] : run.config) {
        if (!counts.contains(key)) keys.push_back(key);
        ++counts[key][value];
      }
    }
    for (const std::string& key : keys) {
      if (counts[key].begin()->second == c_.runs.size()) continue;
      ConfigDifference difference{key, {}};
      for (const ComparedColumn& column : c_.columns) {
        difference.values.push_back(value_of(column, key));
      }
      c_.differences.push_back(std::move(difference));
    }
  }

  std::vector<std::string> missing_metrics() const {
    std::vector<std::string> missing;
    for (const PublishedValue& value : published_) {
      const bool is_shown =
          std::any_of(c_.figures.begin(), c_.figures.end(),
                      [&](const ComparedFigure& row) { return row.figure.id == value.metric; });
      const bool is_new = std::find(missing.begin(), missing.end(), value.metric) == missing.end();
      if (!is_shown && is_new) missing.push_back(value.metric);
    }
    return missing;
  }

  const std::vector<PublishedValue>& published_;
  Comparison c_;
  std::size_t first_ = 0;  // the column of the first run
};

}  // namespace

Comparison compare_figures(std::vector<ComparedRun> runs, Seeds seeds,
                           const std::vector<PublishedValue>& published,
                           std::vector<std::string>* skipped) {
  return Comparer(std::move(runs), published).make(seeds, skipped);
}

}  // namespace saferclip
