// A line that is cut short is not JSON, and a line of another kind has none of the numbers.
#include "report/training_lines.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "saferclip/eval/document.h"

namespace saferclip {

TrainingCurves read_training_lines(const std::string& metrics) {
  TrainingCurves training;
  std::istringstream in(metrics);
  for (std::string line; std::getline(in, line);) {
    const auto json = OrderedJson::parse(line, nullptr, false);
    const std::optional<double> place = number_at(json, "step");
    if (!place) continue;
    const double step = *place;
    if (json.contains("kind") && json["kind"] == "train") {
      training.loss.emplace_back(step, number_at(json, "loss").value_or(0));
      training.rate.emplace_back(step, number_at(json, "lr").value_or(0));
      if (!json.contains("terms") || !json["terms"].is_object()) continue;
      for (const auto& [name, value] : json["terms"].items()) {
        if (value.is_number()) training.terms[name].emplace_back(step, value.get<double>());
      }
    } else if (const auto loss = number_at(json, "after.loss.total")) {
      training.validation.emplace_back(step, *loss);
    }
  }
  return training;
}

}  // namespace saferclip
