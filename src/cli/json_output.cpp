// A failure's document says what had happened before it, so a caller reads one form in both cases;
// the message stands on stderr as well, where main writes it.
#include "cli/json_output.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "saferclip/core/durations.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/stop.h"
#include "saferclip/nn/cuda_card.h"

namespace saferclip {
namespace fs = std::filesystem;

void print_json(const nlohmann::ordered_json& document) {
  std::cout << document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
            << '\n';
}

nlohmann::ordered_json exit_json(const Error* failure) {
  const int code = failure == nullptr ? 0 : failure->exit_code();
  const bool is_stopped = dynamic_cast<const Interrupted*>(failure) != nullptr;
  return {{"code", code},
          {"reason", failure == nullptr   ? "finished"
                     : code == kOutOfTime ? "out_of_time"
                     : is_stopped         ? "stopped"
                                          : "failed"},
          {"message", failure == nullptr ? "" : failure->what()}};
}

void print_document_of(const std::function<void(nlohmann::ordered_json& document)>& run) {
  auto document = nlohmann::ordered_json::object();
  const auto print = [&](const Error* failure) {
    document["exit"] = exit_json(failure);
    print_json(document);
    std::cout << std::flush;
  };
  try {
    run(document);
  } catch (const Error& failure) {
    print(&failure);
    throw;
  } catch (const c10::OutOfMemoryError& failure) {
    const Error memory(out_of_memory_text(failure.what_without_backtrace()), kOutOfMemory);
    print(&memory);
    throw;
  } catch (const std::exception& failure) {
    const Error unexpected(failure.what(), 1);
    print(&unexpected);
    throw;
  }
  print(nullptr);
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
