#include <ATen/ATen.h>

#include <fstream>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/nearest_safe.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

int prepare(const ConfigArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::atomic<int>& stop = install_signal_handlers();
  const Session session =
      open_session(read_run_config(arguments.file, arguments.overrides), globals, log);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  const LossNeeds needs = loss_needs(session.config.objective);
  if (!session.config.data.validation.empty()) {
    preparer.split("validation", session.config.data.validation, needs.unsafe_text,
                   needs.reference);
  }
  preparer.release_reference();
  std::cout << "prepared " << data.train.good_rows.size() << " training rows in "
            << session.config.data.cache_dir << '\n';
  return 0;
}

struct TargetsArguments {
  ConfigArguments config;
  std::string csv;
  std::int64_t top = 1;
  bool json = false;
};

std::string csv_field(const std::string& text) {
  std::string quoted = "\"";
  for (const char letter : text)
    quoted += letter == '"' ? std::string("\"\"") : std::string(1, letter);
  return quoted + "\"";
}

void write_csv(const std::string& file, const TrainingData& data) {
  std::ostringstream out;
  out << "id,unsafe_caption,own_safe_caption,fixed_cosine,target_id,target_caption,cosine,stage\n";
  const auto& rows = data.train.manifest.rows;
  for (const std::int64_t i : data.train.good_rows) {
    const ManifestRow& row = rows[static_cast<std::size_t>(i)];
    const ManifestRow& target =
        rows[static_cast<std::size_t>(data.targets.index[i].item<std::int64_t>())];
    out << csv_field(row.id) << ',' << csv_field(row.unsafe_caption) << ','
        << csv_field(row.safe_caption) << ',' << data.targets.fixed_cosine[i].item<float>() << ','
        << csv_field(target.id) << ',' << csv_field(target.safe_caption) << ','
        << data.targets.cosine[i].item<float>() << ',' << data.stages[static_cast<std::size_t>(i)]
        << '\n';
  }
  write_file_atomically(file, out.str());
}

// A bar for each tenth of a unit of cosine.
std::string cosine_histogram(const at::Tensor& cosine) {
  constexpr int kBins = 12;
  std::array<std::int64_t, kBins> counts{};
  const at::Tensor flat = cosine.contiguous();
  const auto* values = flat.const_data_ptr<float>();
  std::int64_t most = 1;
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const int bin = std::clamp(static_cast<int>((values[i] + 0.2F) * 10), 0, kBins - 1);
    most = std::max(most, ++counts[static_cast<std::size_t>(bin)]);
  }
  std::ostringstream out;
  for (int bin = 0; bin < kBins; ++bin) {
    const std::int64_t count = counts[static_cast<std::size_t>(bin)];
    out << "  " << std::setw(5) << fixed(0.1 * bin - 0.2, 1) << " … " << std::setw(4)
        << fixed(0.1 * bin - 0.1, 1) << "  " << std::setw(8) << with_commas(count) << "  "
        << std::string(static_cast<std::size_t>(50 * count / most), '#') << '\n';
  }
  return out.str();
}

int show_targets(const TargetsArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::atomic<int>& stop = install_signal_handlers();
  const Session session = open_session(
      read_run_config(arguments.config.file, arguments.config.overrides), globals, log);
  if (!loss_needs(session.config.objective).targets) {
    throw ConfigError(cat("objective ", session.config.objective.name, " has no targets"));
  }
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  preparer.release_reference();
  const at::Tensor good = at::tensor(data.train.good_rows, at::kLong);
  const at::Tensor cosine = data.targets.cosine.index_select(0, good);
  const at::Tensor fixed_cosine = data.targets.fixed_cosine.index_select(0, good);
  const auto changed = data.targets.index.index_select(0, good).ne(good).sum().item<std::int64_t>();
  if (!arguments.csv.empty()) write_csv(arguments.csv, data);
  const auto& rows = data.train.manifest.rows;
  if (arguments.json) {
    const Json json{{"rows", good.numel()},
                    {"changed", changed},
                    {"cosine_mean", cosine.mean().item<double>()},
                    {"fixed_cosine_mean", fixed_cosine.mean().item<double>()}};
    std::cout << json.dump(2) << '\n';
    return 0;
  }
  for (std::int64_t i = 0; i < std::min<std::int64_t>(arguments.top, good.numel()); ++i) {
    const std::int64_t row = data.train.good_rows[static_cast<std::size_t>(i)];
    const auto target = static_cast<std::size_t>(data.targets.index[row].item<std::int64_t>());
    std::cout << rows[static_cast<std::size_t>(row)].id << ": "
              << rows[static_cast<std::size_t>(row)].unsafe_caption << "\n  own partner "
              << fixed(data.targets.fixed_cosine[row].item<double>(), 3) << "  "
              << rows[static_cast<std::size_t>(row)].safe_caption << "\n  nearest     "
              << fixed(data.targets.cosine[row].item<double>(), 3) << "  "
              << rows[target].safe_caption << "  (stage "
              << data.stages[static_cast<std::size_t>(row)] << ")\n";
  }
  std::cout << good.numel() << " rows, " << changed
            << " sent to another caption than their partner\n"
            << "mean cosine: own partner " << fixed(fixed_cosine.mean().item<double>(), 3)
            << ", nearest " << fixed(cosine.mean().item<double>(), 3)
            << "\ncosine to the nearest safe caption:\n"
            << cosine_histogram(cosine);
  if (!arguments.csv.empty()) std::cout << "table: " << arguments.csv << '\n';
  return 0;
}

}  // namespace

CommandAction add_prepare_command(CLI::App& command) {
  auto arguments = std::make_shared<ConfigArguments>();
  add_config_arguments(command, *arguments, "CONFIG", "Configuration (YAML or JSON)");
  command.footer(
      "Example:\n  saferclip prepare configs/saferclip-vit-b32.yaml\n"
      "Interrupted, it goes on where it was; what is up to date is not made again.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return prepare(*arguments, globals, log);
  };
}

CommandAction add_targets_command(CLI::App& command) {
  auto arguments = std::make_shared<TargetsArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  command.add_option("--top", arguments->top, "Rows to print")->check(CLI::NonNegativeNumber);
  command.add_option("--csv", arguments->csv, "Write all rows to this file");
  command.add_flag("--json", arguments->json, "Summary as one JSON document");
  command.footer(
      "Example:\n  saferclip targets configs/saferclip-vit-b32.yaml --top 10 --csv targets.csv");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return show_targets(*arguments, globals, log);
  };
}

}  // namespace saferclip
