// The best of some labels for each image of a look.
#pragma once

#include <string>
#include <vector>

#include "saferclip/eval/document.h"
#include "saferclip/run/look.h"

namespace saferclip {

// The labels of `words`: the lines of the file of this name, else the parts between commas. Throws
// ConfigError if there are fewer than two, or for an empty or repeated one; DataError for a file
// that cannot be read.
std::vector<std::string> read_labels(const std::string& words);

// Each label in the place of {}. Throws ConfigError if the template has none.
std::vector<std::string> label_prompts(const std::vector<std::string>& labels,
                                       const std::string& prompt_template);

// Softmax over the labels of cosine times the model's logit scale. The look's texts are the labels'
// prompts, in order.
struct Classification {
  std::vector<std::string> labels;
  std::vector<std::vector<std::vector<double>>> probabilities;  // [side][image][label]
  // The label of an image: the most probable, the first of several.
  std::size_t best(std::size_t side, std::size_t image) const;
};
Classification classify_images(const Look& look, const std::vector<std::string>& labels);

// For the terminal, within 100 columns; ends with the images of each label, and for a run with the
// images whose label has changed.
std::string classification_table(const Look& look, const Classification& result);
OrderedJson classification_json(const Look& look, const Classification& result);
// One line per image: its path, then label and probability of each side.
std::string classification_csv(const Look& look, const Classification& result);

}  // namespace saferclip
