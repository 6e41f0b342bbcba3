#include "cli/json_output.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "saferclip/core/hash.h"

namespace saferclip {
namespace fs = std::filesystem;

void print_json(const nlohmann::ordered_json& document) {
  std::cout << document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
            << '\n';
}

nlohmann::ordered_json run_json(const RunSummary& run) {
  nlohmann::ordered_json json{{"path", run.path.string()}, {"state", to_string(run.state)},
                              {"step", run.step},          {"planned_steps", nullptr},
                              {"best", nullptr},           {"bytes", run.bytes}};
  if (run.planned_steps) json["planned_steps"] = *run.planned_steps;
  if (run.best_value) {
    json["best"] = {
        {"metric", run.best_metric}, {"value", *run.best_value}, {"step", run.best_step}};
  }
  if (!run.problem.empty()) json["problem"] = run.problem;
  return json;
}

nlohmann::ordered_json files_json(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  auto list = nlohmann::ordered_json::array();
  for (const fs::path& file : files) {
    list.push_back({{"path", file.lexically_relative(folder).string()},
                    {"bytes", fs::file_size(file)},
                    {"sha256", sha256_file(file)}});
  }
  return list;
}

}  // namespace saferclip
