// The log is append-only during a run. A resumed run first cuts the file back to its step, so that
// each step appears once, whatever was written after the last checkpoint. A line cut short by a
// crash does not parse and is removed too. The cut replaces the file atomically.
#include "saferclip/train/metrics_log.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

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

using Scalars = std::vector<std::pair<std::string, double>>;

// The numbers below `json`, with the keys that lead to them.
void add_numbers(const std::string& tag, const Json& json, Scalars& scalars) {
  if (json.is_number()) {
    scalars.emplace_back(tag, json.get<double>());
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.items()) add_numbers(cat(tag, "/", key), value, scalars);
  }
}

void add_histograms(const Json& line, const std::string& group, EventFile& events) {
  const auto found = line.find("histograms");
  if (found == line.end()) return;
  for (const auto& [what, kinds] : found->items()) {
    for (const auto& [kind, json] : kinds.items()) {
      const Histogram histogram{json.at("min"),   json.at("max"),         json.at("num"),
                                json.at("sum"),   json.at("sum_squares"), json.at("limits"),
                                json.at("counts")};
      events.add_histogram(line.value("step", std::int64_t{0}), cat(group, what, "/", kind),
                           histogram);
    }
  }
}

// A file that someone removed is left out: the images of a run may be large, and the log is not.
void add_images(const Json& line, const std::string& group, const std::filesystem::path& folder,
                EventFile& events) {
  const auto found = line.find("images");
  if (found == line.end()) return;
  for (const auto& [name, path] : found->items()) {
    const std::filesystem::path file = folder / path.get<std::string>();
    if (!is_file(file)) continue;
    events.add_image(line.value("step", std::int64_t{0}), group + name, read_file(file));
  }
}

void add_event(const Json& line, const std::filesystem::path& folder, EventFile& events) {
  const std::string kind = line.value("kind", "");
  const std::string group = kind == "evaluation" ? "validation/" : kind + "/";
  Scalars scalars;
  for (const auto& [key, value] : line.items()) {
    if (key != "step" && key != "kind" && key != "histograms" && key != "images")
      add_numbers(group + key, value, scalars);
  }
  events.add_scalars(line.value("step", std::int64_t{0}), scalars);
  add_histograms(line, group, events);
  add_images(line, group, folder, events);
}

// A new file with the lines of the log. Its name differs from the old ones', which a running
// TensorBoard has read already.
void open_events(const std::filesystem::path& folder, const std::filesystem::path& log,
                 std::optional<EventFile>& events) {
  make_folders(folder);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::filesystem::path file =
      folder / cat("events.out.tfevents.",
                   std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  events.emplace(file);
  std::istringstream in(read_file(log));
  for (std::string line; std::getline(in, line);)
    add_event(Json::parse(line), log.parent_path(), *events);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const bool is_old = entry.path().filename().string().starts_with("events.out.tfevents.");
    if (is_old && entry.path() != file) remove_tree(entry.path());
  }
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, std::int64_t step, LastEvaluation last,
                       const std::filesystem::path& event_folder) {
  if (file.empty()) return;
  folder_ = file.parent_path();
  out_.emplace(cut_back(file, step, last), FileWriter::Start::kEnd);
  if (!event_folder.empty()) open_events(event_folder, file, events_);
}

void MetricsLog::append(const Json& line) {
  if (!out_) return;
  const std::string whole = line.dump() + "\n";
  out_->write(whole.data(), whole.size());
  if (events_) add_event(line, folder_, *events_);
}

void MetricsLog::sync() {
  if (out_) out_->sync();
  if (events_) events_->sync();
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
  if (line.masked_fraction) json["masked_fraction"] = *line.masked_fraction;
  append(json);
}

void MetricsLog::write_evaluation(std::int64_t step, std::int64_t epoch, const std::string& body) {
  if (!out_) return;
  Json json{{"kind", "evaluation"}, {"step", step}, {"epoch", epoch}};
  json.update(Json::parse(body));
  append(json);
}

void MetricsLog::write_solution(std::int64_t step, const Json& body) {
  Json json{{"kind", "closed_form"}, {"step", step}};
  json.update(body);
  append(json);
}

void MetricsLog::write_masks(std::int64_t step, double fraction,
                             const std::vector<std::pair<std::string, double>>& tensors) {
  Json json{{"kind", "masks"}, {"step", step}, {"masked_fraction", fraction}};
  for (const auto& [name, value] : tensors) json["tensors"][name] = value;
  append(json);
}

}  // namespace saferclip
