// All problems are collected before any is reported, so that one run shows everything to correct:
// the log names a few rows of each kind, the JSON file lists all. An unchanged file is not
// rewritten. Rows are counted by record, because one line of a JSON document may hold several.
#include "saferclip/data/bad_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kExamples = 5;

std::string rows_text(std::size_t count) { return cat(count, count == 1 ? " row" : " rows"); }

std::vector<std::string> summary_lines(const BadRows& bad) {
  std::vector<std::string> lines;
  for (const auto& [kind, problems] : bad.by_kind) {
    lines.push_back(cat(kind, ": ", rows_text(problems.size())));
    for (std::size_t i = 0; i < std::min(problems.size(), kExamples); ++i) {
      const RowProblem& p = problems[i];
      lines.push_back(cat("  ", bad.manifest.string(), ":", p.line,
                          p.row() != p.line ? cat(", record ", p.row()) : "",
                          p.id.empty() ? "" : " (id " + p.id + ")", ": ", p.message));
    }
    if (problems.size() > kExamples) {
      lines.push_back(cat("  and ", rows_text(problems.size() - kExamples), " more"));
    }
  }
  return lines;
}

}  // namespace

BadRows collect_bad_rows(const Manifest& manifest, const std::vector<RowProblem>& found_later) {
  BadRows bad;
  bad.manifest = manifest.file;
  bad.rows_read = manifest.rows_read;
  bad.notes = manifest.notes;
  bad.notes.insert(bad.notes.end(), manifest.left_out.begin(), manifest.left_out.end());
  std::set<int> rows;
  for (const auto* problems : {&manifest.problems, &found_later}) {
    for (const RowProblem& problem : *problems) {
      bad.by_kind[problem.kind].push_back(problem);
      rows.insert(problem.row());
    }
  }
  for (auto& [kind, problems] : bad.by_kind) {
    std::stable_sort(problems.begin(), problems.end(),
                     [](const auto& a, const auto& b) { return a.row() < b.row(); });
  }
  bad.bad_rows = static_cast<std::int64_t>(rows.size());
  return bad;
}

void write_bad_rows(const BadRows& bad, const fs::path& file) {
  using Json = nlohmann::ordered_json;
  Json kinds = Json::object();
  for (const auto& [kind, problems] : bad.by_kind) {
    Json rows = Json::array();
    for (const RowProblem& p : problems) {
      rows.push_back({{"line", p.line}, {"record", p.row()}, {"id", p.id}, {"message", p.message}});
    }
    kinds[kind] = {{"count", problems.size()}, {"rows", std::move(rows)}};
  }
  const Json json{{"manifest", bad.manifest.string()},
                  {"rows_read", bad.rows_read},
                  {"bad_rows", bad.bad_rows},
                  {"kinds", std::move(kinds)},
                  {"notes", bad.notes}};
  // File names need not be UTF-8.
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (is_file(file) && read_file(file) == text) return;
  make_folders(file.parent_path());
  write_file_atomically(file, text);
}

void require_acceptable(const BadRows& bad, const DataOptions& options, const fs::path& listed_in,
                        Logger& log) {
  if (bad.bad_rows == 0) return;
  const std::vector<std::string> lines = summary_lines(bad);
  const std::string head = cat(bad.bad_rows, " of ", bad.rows_read, " rows are bad");
  const std::string all =
      listed_in.empty() ? "" : cat("\nall bad rows are listed in ", listed_in.string());
  if (options.bad_rows == BadRowPolicy::kError) {
    throw DataError(join_problems(head + ":", lines) + all +
                    "\ncorrect them or set data.bad_rows: skip");
  }
  const double fraction = static_cast<double>(bad.bad_rows) /
                          static_cast<double>(std::max<std::int64_t>(1, bad.rows_read));
  if (fraction > options.max_bad_fraction) {
    throw DataError(join_problems(head + ":", lines) + all +
                    cat("\nthat is a fraction of ", fixed(fraction, 4),
                        ", above data.max_bad_fraction: ", options.max_bad_fraction,
                        "; correct the rows or raise the limit"));
  }
  log.warn(join_problems(head + " and were skipped:", lines) + all);
}

}  // namespace saferclip
