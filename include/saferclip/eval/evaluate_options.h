// What is measured, and on what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/core/fields.h"

namespace saferclip {

struct ZeroShotOptions {
  std::string name;
  std::string images;
  std::string classes;
  std::vector<std::string> templates{"a photo of a {}."};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name", "Name of the set in tables and JSON.").free(), self.name);
    visit(field("images", "A folder with one sub-folder a class, or a CSV file,label.")
              .input_path()
              .free(),
          self.images);
    visit(field("classes", "TSV, one class a line: name, then optionally folder and group.")
              .input_path()
              .free(),
          self.classes);
    visit(field("templates",
                "Prompts with {} for the class name (embeddings are averaged), or one text file "
                "of them.")
              .input_path_unless("{}")
              .free(),
          self.templates);
  }
};

struct EvaluateOptions {
  std::int64_t every_epochs = 1;
  std::vector<std::int64_t> k{1, 5, 10, 20};
  std::vector<ZeroShotOptions> zero_shot;
  bool zero_shot_during_training = false;
  std::int64_t batch_size = 64;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("every_epochs", "Validate after this many epochs; 0: never.").at_least(0).free(),
          self.every_epochs);
    visit(field("k", "The K of R@K.").at_least(1).free(), self.k);
    visit(field("zero_shot", "Zero-shot classification sets.").free(), self.zero_shot);
    visit(
        field("zero_shot_during_training", "Run the zero-shot sets at each validation too.").free(),
        self.zero_shot_during_training);
    visit(field("batch_size", "Images or captions embedded at a time.").at_least(1).free(),
          self.batch_size);
  }
};

}  // namespace saferclip
