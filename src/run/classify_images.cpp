// A softmax over labels says which label fits best, not whether any does: a model that was trained
// with a sigmoid (SigLIP) is treated alike, because its bias is the same for all labels and
// cancels.
#include "saferclip/run/classify_images.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "run/table_cells.h"
#include "saferclip/core/csv.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kLabelGap = 2;
constexpr std::size_t kProbabilityWidth = 7;  // "  0.981"
constexpr std::size_t kNameWidth = 28;

std::vector<std::string> between_commas(const std::string& words) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= words.size();) {
    const std::size_t end = std::min(words.find(',', begin), words.size());
    parts.push_back(trimmed(words.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

std::size_t label_width(const Look& look) {
  const std::size_t sides = look.sides.size();
  return (kTableWidth - kNameWidth) / sides - kLabelGap - kProbabilityWidth;
}

std::string probability_text(double probability) { return fixed(probability, 3); }

std::string counts_text(const Look& look, const Classification& result) {
  std::string text = "\n" + text_cell("images per label", kNameWidth);
  for (const LookSide& side : look.sides) {
    text += right_cell(side.name, kLabelGap + kProbabilityWidth + 2);
  }
  text += "\n";
  for (std::size_t label = 0; label < result.labels.size(); ++label) {
    text += text_cell(result.labels[label], kNameWidth);
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      std::int64_t count = 0;
      for (std::size_t image = 0; image < look.files.size(); ++image) {
        count += result.best(side, image) == label ? 1 : 0;
      }
      text += right_cell(with_commas(count), kLabelGap + kProbabilityWidth + 2);
    }
    text += "\n";
  }
  return text;
}

std::int64_t changed_images(const Look& look, const Classification& result) {
  std::int64_t changed = 0;
  for (std::size_t image = 0; image < look.files.size(); ++image) {
    changed += result.best(0, image) != result.best(1, image) ? 1 : 0;
  }
  return changed;
}

}  // namespace

std::vector<std::string> read_labels(const std::string& words) {
  const std::vector<std::string> labels =
      is_file(words) ? read_lines(words) : between_commas(words);
  std::vector<std::string> problems;
  std::set<std::string> seen;
  for (const std::string& label : labels) {
    if (label.empty()) problems.emplace_back("a label is empty");
    if (!label.empty() && !seen.insert(label).second) {
      problems.push_back(cat("\"", label, "\" appears twice"));
    }
  }
  if (labels.size() < 2) {
    problems.push_back(cat("expected at least two labels, or a file with one per line, found \"",
                           shortened_text(words), "\""));
  }
  if (!problems.empty()) throw ConfigError(join_problems("--labels:", problems));
  return labels;
}

std::vector<std::string> label_prompts(const std::vector<std::string>& labels,
                                       const std::string& prompt_template) {
  const std::size_t place = prompt_template.find("{}");
  if (place == std::string::npos) {
    throw ConfigError(cat("--template \"", prompt_template,
                          "\": has no {} for the label; expected for example \"a photo of a {}\""));
  }
  std::vector<std::string> prompts;
  for (const std::string& label : labels) {
    prompts.push_back(std::string(prompt_template).replace(place, 2, label));
  }
  return prompts;
}

std::size_t Classification::best(std::size_t side, std::size_t image) const {
  const std::vector<double>& row = probabilities[side][image];
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

Classification classify_images(const Look& look, const std::vector<std::string>& labels) {
  Classification result{labels, {}};
  for (const LookSide& side : look.sides) {
    const at::Tensor logits =
        at::mm(side.images.to(at::kDouble), side.texts.to(at::kDouble).t()) * side.scale;
    const at::Tensor rows = logits.softmax(1).contiguous();
    const double* data = rows.const_data_ptr<double>();
    std::vector<std::vector<double>> list;
    for (std::int64_t image = 0; image < rows.size(0); ++image) {
      list.emplace_back(data + image * rows.size(1), data + (image + 1) * rows.size(1));
    }
    result.probabilities.push_back(std::move(list));
  }
  return result;
}

std::string classification_table(const Look& look, const Classification& result) {
  const std::string gap(kLabelGap, ' ');
  const bool is_run = look.sides.size() == 2;
  std::string text = text_cell("image", kNameWidth);
  for (const LookSide& side : look.sides) {
    text += gap + text_cell(is_run ? side.name : "label", label_width(look)) +
            right_cell("p", kProbabilityWidth);
  }
  text += "\n";
  for (std::size_t image = 0; image < look.files.size(); ++image) {
    text += path_cell(look.names[image], kNameWidth);
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      const std::size_t label = result.best(side, image);
      text +=
          gap + text_cell(result.labels[label], label_width(look)) +
          right_cell(probability_text(result.probabilities[side][image][label]), kProbabilityWidth);
    }
    text += "\n";
  }
  text += counts_text(look, result);
  if (is_run) {
    text += cat("\n", with_commas(changed_images(look, result)), " of ",
                with_commas(static_cast<std::int64_t>(look.files.size())),
                " images have another label after\n");
  }
  return text;
}

OrderedJson classification_json(const Look& look, const Classification& result) {
  OrderedJson json = look_json(look);
  json["labels"] = result.labels;
  json["results"] = OrderedJson::array();
  for (std::size_t image = 0; image < look.files.size(); ++image) {
    OrderedJson entry{{"image", look.names[image]}};
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      entry[look.sides[side].name] = {{"label", result.labels[result.best(side, image)]},
                                      {"probabilities", result.probabilities[side][image]}};
    }
    json["results"].push_back(std::move(entry));
  }
  return json;
}

std::string classification_csv(const Look& look, const Classification& result) {
  std::string text = "image";
  for (const LookSide& side : look.sides) {
    const std::string suffix = look.sides.size() == 1 ? "" : "_" + side.name;
    text += cat(",label", suffix, ",probability", suffix);
  }
  text += "\n";
  for (std::size_t image = 0; image < look.files.size(); ++image) {
    text += csv_field(look.names[image]);
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      const std::size_t label = result.best(side, image);
      text +=
          cat(",", csv_field(result.labels[label]), ",", result.probabilities[side][image][label]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace saferclip
