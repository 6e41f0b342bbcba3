// The log is append-only during a run. A resumed run first cuts the file back to its step, so that
// each step appears once, whatever was written after the last checkpoint. A line cut short by a
// crash does not parse and is removed too. The cut replaces the file atomically.
#include "saferclip/train/metrics_log.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/files.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

std::string kept_lines(const std::filesystem::path& file, std::int64_t step, LastEvaluation last) {
  std::string kept;
  std::istringstream in(read_file(file));
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object()) continue;
    const std::int64_t of = json.value("step", std::int64_t{0});
    const bool is_open =
        of == step && last == LastEvaluation::kRunsAgain && json.value("kind", "") == "evaluation";
    if (of <= step && !is_open) kept += line + "\n";
  }
  return kept;
}

const std::filesystem::path& cut_back(const std::filesystem::path& file, std::int64_t step,
                                      LastEvaluation last) {
  if (std::filesystem::exists(file)) {
    write_file_atomically(file, kept_lines(file, step, last));
  }
  return file;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, std::int64_t step, LastEvaluation last) {
  if (!file.empty()) out_.emplace(cut_back(file, step, last), FileWriter::Start::kEnd);
}

void MetricsLog::append(const std::string& line) {
  if (!out_) return;
  const std::string whole = line + "\n";
  out_->write(whole.data(), whole.size());
}

void MetricsLog::sync() {
  if (out_) out_->sync();
}

void MetricsLog::write(const StepLine& line) {
  Json terms = Json::object();
  for (const auto& [name, value] : line.terms) terms[name] = value;
  Json json{{"kind", "train"},
            {"step", line.step},
            {"epoch", line.epoch},
            {"lr", line.lr},
            {"loss", line.loss},
            {"terms", terms},
            {"grad_norm", line.grad_norm},
            {"quadruplets_per_s", line.quadruplets_per_s}};
  if (line.device_peak_bytes > 0) json["device_peak_bytes"] = line.device_peak_bytes;
  if (line.loss_scale) json["loss_scale"] = *line.loss_scale;
  if (line.is_skipped) json["skipped"] = true;
  if (line.waited_s) json["waited_s"] = *line.waited_s;
  append(json.dump());
}

void MetricsLog::write_evaluation(std::int64_t step, std::int64_t epoch, const std::string& body) {
  if (!out_) return;
  Json json{{"kind", "evaluation"}, {"step", step}, {"epoch", epoch}};
  json.update(Json::parse(body));
  append(json.dump());
}

}  // namespace saferclip
