// Published values come from a table that someone types in: every bad row is named at once, and a
// metric that no evaluation can have gets its nearest neighbors.
#include <algorithm>
#include <set>

#include "saferclip/core/error.h"
#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/text_rows.h"
#include "saferclip/report/comparison.h"

namespace saferclip {
namespace {

constexpr std::size_t kShownProblems = 10;

// A field of a row as text; empty if absent.
std::string field_text(const OrderedJson& row, const char* name) {
  const auto found = row.find(name);
  if (found == row.end() || found->is_null()) return "";
  return trimmed(found->is_string() ? found->get<std::string>() : found->dump());
}

std::optional<double> parsed_number(const std::string& text) {
  std::istringstream in(text);
  in.imbue(std::locale::classic());
  double value = 0;
  in >> value;
  return !text.empty() && !in.fail() && in.peek() == std::istringstream::traits_type::eof()
             ? std::optional(value)
             : std::nullopt;
}

std::string metric_problem(const std::string& metric) {
  if (metric.empty()) return "no metric";
  if (figure_at(metric).part != FigurePart::kOther) return "";
  std::vector<std::string> ids;
  for (const Figure& kind : figure_kinds()) ids.push_back(kind.id);
  for (const char* task : {"text_to_image", "image_to_text"}) {
    for (const char* k : {"1", "5", "10", "20"}) {
      ids.push_back(cat("retrieval.", task, ".r@", k));
    }
  }
  const std::string near = nearest_match(metric, ids);
  return cat("\"", shortened_text(metric), "\" is no metric",
             near.empty() ? "; `saferclip compare RUN --json` lists them"
                          : cat("; did you mean ", near, "?"));
}

}  // namespace

std::vector<PublishedValue> read_published(const std::filesystem::path& file) {
  std::vector<PublishedValue> values;
  std::vector<std::string> problems;
  std::set<std::pair<std::string, std::string>> seen;
  for (const TextRow& row : read_text_rows(file)) {
    const auto add = [&](const std::string& problem) {
      problems.push_back(cat("line ", row.line, ": ", problem));
    };
    if (!row.problem.empty()) {
      add(row.problem);
      continue;
    }
    const OrderedJson json = OrderedJson::parse(row.json, nullptr, false);
    if (!json.is_object()) {
      add("is no row of a table");
      continue;
    }
    const std::string metric = field_text(json, "metric"), name = field_text(json, "name"),
                      text = field_text(json, "value");
    const std::string problem = metric_problem(metric);
    const std::optional<double> value = parsed_number(text);
    if (!problem.empty()) {
      add(problem);
    } else if (name.empty()) {
      add("no name");
    } else if (!value) {
      add(cat("value: expected a number, found \"", shortened_text(text), "\""));
    } else if (!seen.emplace(metric, name).second) {
      add(cat(metric, " of ", name, " is there twice"));
    } else {
      values.push_back({metric, name, *value});
    }
  }
  if (!problems.empty()) {
    throw DataError(join_problems(
        cat(file.string(), ": expected a table with the columns metric, name, value:"),
        shortened(problems, kShownProblems)));
  }
  return values;
}

}  // namespace saferclip
