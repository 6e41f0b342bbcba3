// `compare`: several runs in one table, from the evaluations that they keep. Output paths are
// checked before anything is read.
#include <array>
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "cli/next_step.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/comparison.h"
#include "saferclip/run/compare_runs.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// A file that holds the comparison in one form.
struct ComparisonFile {
  const char* option;
  const char* meaning;
  std::string (*text)(const Comparison&);
};

constexpr std::array<ComparisonFile, 4> kFiles{
    {{"--csv", "Write the figures in full precision to this file", comparison_csv},
     {"--markdown", "Write the table in Markdown to this file", comparison_markdown},
     {"--latex", "Write the table in LaTeX (booktabs) to this file", comparison_latex},
     {"--html", "Write one page with table, losses, and safety against preservation",
      comparison_page}}};

struct CompareArguments {
  CompareRequest request;
  std::array<std::string, kFiles.size()> files;
  std::string published;
  bool each = false;
  bool json = false;
};

std::vector<fs::path> checked_files(const CompareArguments& arguments) {
  std::vector<fs::path> files;
  for (std::size_t i = 0; i < kFiles.size(); ++i) {
    const std::string& given = arguments.files[i];
    const std::string advice = "name a file, or print one document with --json";
    files.push_back(given.empty() ? fs::path() : output_file(kFiles[i].option, given, advice));
    for (std::size_t j = 0; j < i && !given.empty(); ++j) {
      if (files[j] != files[i]) continue;
      throw ConfigError(cat(kFiles[j].option, " and ", kFiles[i].option, " name the same file, ",
                            given, "; name two"));
    }
  }
  return files;
}

Comparison made_comparison(const CompareArguments& arguments, Logger& log) {
  std::vector<PublishedValue> published;
  if (!arguments.published.empty()) published = read_published(arguments.published);
  std::vector<std::string> skipped;
  CompareRequest request = arguments.request;
  request.each = arguments.each;
  request.with_metrics = !arguments.files.back().empty();  // for the curves of --html
  Comparison comparison =
      compare_figures(read_compared_runs(request, log),
                      arguments.each ? Seeds::kEach : Seeds::kGrouped, published, &skipped);
  if (!skipped.empty()) {
    log.warn(cat(arguments.published, ": ", skipped.size(),
                 " metrics that these evaluations do not have are left out: ",
                 join(shortened(skipped, 5), ", ")));
  }
  return comparison;
}

int compare(const CompareArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::vector<fs::path> files = checked_files(arguments);
  const Comparison comparison = made_comparison(arguments, log);
  std::cout << (arguments.json ? comparison_json(comparison).dump(2) + "\n"
                               : comparison_table(comparison));
  for (std::size_t i = 0; i < kFiles.size(); ++i) {
    if (files[i].empty()) continue;
    write_file_atomically(files[i], kFiles[i].text(comparison));
    log.info("wrote " + arguments.files[i]);
  }
  std::cout << std::flush;
  if (!arguments.json) {
    say_next(log, command_text({"report", arguments.request.runs.front()}, globals));
  }
  return 0;
}

}  // namespace

CommandAction add_compare_command(CLI::App& command) {
  auto arguments = std::make_shared<CompareArguments>();
  path_option(
      command.add_option("RUN", arguments->request.runs, "Run folders, or checkpoints of runs"))
      ->required();
  command.add_option("--checkpoint", arguments->request.checkpoint, "latest, best or a step");
  command.add_option("--split", arguments->request.split,
                     "Split to compare, if the runs were evaluated on several");
  command.add_flag("--each", arguments->each,
                   "Show every run by itself, also those that differ in nothing but the seed");
  path_option(command.add_option("--published", arguments->published,
                                 "Add columns from a table with the columns metric, name, value"));
  for (std::size_t i = 0; i < kFiles.size(); ++i) {
    path_option(command.add_option(kFiles[i].option, arguments->files[i], kFiles[i].meaning));
  }
  command.add_flag("--json", arguments->json, "Print one JSON document instead of the table");
  command.footer(
      "Examples:\n"
      "  saferclip compare runs/a runs/b runs/c\n"
      "  saferclip compare runs/* --split test --markdown table.md --csv table.csv\n"
      "  saferclip compare runs/mine --published papers.csv\n"
      "Reads the evaluations that the runs keep (saferclip evaluate RUN). Runs that differ in\n"
      "nothing but train.seed become one column: mean ± half of the 95 % t interval. A run is\n"
      "marked better or worse than the first where its evaluation keeps a paired test:\n"
      "  saferclip evaluate runs/b --against runs/a");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return compare(*arguments, globals, log);
  };
}

}  // namespace saferclip
