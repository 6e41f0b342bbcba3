// `targets`: prints what each unsafe caption is redirected to, with histograms of the cosine to the
// row's own partner and to its target. Builds the missing caches like `prepare`. It exists to judge
// targets before a run spends hours on them.
#include <algorithm>
#include <array>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "cli/commands.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/target_lines.h"
#include "saferclip/run/training_data.h"

namespace saferclip {
namespace {

struct TargetsArguments {
  ConfigArguments config;
  std::string csv;
  std::int64_t top = 3;
  bool json = false;
};

constexpr int kBins = 12;
constexpr std::int64_t kBar = 24;  // columns; a line is at most 80

// Counts rows in cosine bins of width 0.1; the first holds all below -0.1.
std::array<std::int64_t, kBins> histogram(const std::vector<TargetLine>& lines,
                                          double TargetLine::*cosine) {
  std::array<std::int64_t, kBins> counts{};
  for (const TargetLine& line : lines) {
    const int bin = std::clamp(static_cast<int>((line.*cosine + 0.2) * 10), 0, kBins - 1);
    ++counts[static_cast<std::size_t>(bin)];
  }
  return counts;
}

std::string histogram_text(const std::vector<TargetLine>& lines) {
  const auto nearest = histogram(lines, &TargetLine::cosine);
  const auto partner = histogram(lines, &TargetLine::fixed_cosine);
  const std::int64_t most =
      std::max<std::int64_t>({1, *std::max_element(nearest.begin(), nearest.end()),
                              *std::max_element(partner.begin(), partner.end())});
  const auto bar = [&](std::int64_t count, char letter) {
    return std::string(static_cast<std::size_t>(kBar * count / most), letter);
  };
  std::ostringstream out;
  out << "  cosine         own partner, rows                   target, rows\n";
  for (int bin = 0; bin < kBins; ++bin) {
    const auto b = static_cast<std::size_t>(bin);
    if (bin == 0) {
      out << "       < -0.1";
    } else {
      out << "  " << std::setw(4) << fixed(0.1 * bin - 0.2, 1) << " … " << std::setw(4)
          << fixed(0.1 * bin - 0.1, 1);
    }
    out << std::setw(8) << with_commas(partner[b]) << " " << std::left << std::setw(kBar + 1)
        << bar(partner[b], '.') << std::right << std::setw(8) << with_commas(nearest[b])
        << (nearest[b] > 0 ? " " : "") << bar(nearest[b], '#') << '\n';
  }
  return out.str();
}

void print(const std::vector<TargetLine>& lines, const TargetSummary& summary, std::int64_t top) {
  for (std::size_t i = 0; i < std::min(static_cast<std::size_t>(top), lines.size()); ++i) {
    const TargetLine& line = lines[i];
    std::cout << line.row->id << ": " << line.row->unsafe_caption << "\n  own partner "
              << fixed(line.fixed_cosine, 3) << "  " << line.row->safe_caption << "\n  target      "
              << fixed(line.cosine, 3) << "  " << line.target_caption << "  (" << line.target_id
              << ", stage " << line.stage << ")\n";
  }
  const auto count = [&](const char* change) {
    const auto found = summary.changes.find(change);
    return with_commas(found == summary.changes.end() ? 0 : found->second);
  };
  std::cout << with_commas(static_cast<std::int64_t>(lines.size())) << " rows: " << count("same")
            << " keep their own safe caption, " << count("caption") << " take another row's, "
            << count("extra") << " an extra one\n"
            << "mean cosine: own partner " << fixed(summary.mean_fixed, 3) << ", target "
            << fixed(summary.mean_cosine, 3) << "\nstages:";
  for (const auto& [stage, rows] : summary.stages) {
    std::cout << "  " << stage << ": " << with_commas(rows);
  }
  std::cout << '\n' << histogram_text(lines);
}

int show_targets(const TargetsArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  const std::filesystem::path csv =
      arguments.csv.empty()
          ? std::filesystem::path()
          : output_file("--csv", arguments.csv, "name a file, or print all rows with --json");
  const Session session = open_session(
      read_run_config(arguments.config.file, arguments.config.overrides), globals, log);
  if (!loss_needs(session.config.objective).targets) {
    throw ConfigError(cat("objective.name: ", session.config.objective.name,
                          " uses no targets; there is nothing to show"));
  }
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  preparer.release_reference();
  const std::vector<TargetLine> lines = target_lines(data);
  const TargetSummary summary = summarize(lines);
  if (!csv.empty()) {
    write_file_atomically(csv, targets_csv(lines));
    log.info("wrote " + arguments.csv);
  }
  if (arguments.json) {
    std::cout << targets_json(lines, summary).dump(2) << '\n';
  } else {
    print(lines, summary, arguments.top);
    std::cout.flush();
    say_next(log, command_text("train", arguments.config, globals));
  }
  return 0;
}

}  // namespace

CommandAction add_targets_command(CLI::App& command) {
  auto arguments = std::make_shared<TargetsArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  command.add_option("--top", arguments->top, "Number of rows to print")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  path_option(command.add_option("--csv", arguments->csv, "Write all rows to this file"));
  command.add_flag("--json", arguments->json, "Print summary and all rows as one JSON document");
  command.footer(
      "Examples:\n"
      "  saferclip targets configs/saferclip-vit-b32.yaml --top 10 --csv targets.csv\n"
      "  saferclip targets my.yaml --set objective.targets.extra_captions=safe.txt\n"
      "For each unsafe caption: cosine to its own safe partner and to its target, the curriculum\n"
      "stage, and whether it keeps its partner (same), is redirected to another row's caption\n"
      "(caption) or to one of objective.targets.extra_captions (extra).");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return show_targets(*arguments, globals, log);
  };
}

}  // namespace saferclip
