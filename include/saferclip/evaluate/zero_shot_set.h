// A zero-shot set as configured: class names, prompts, pictures and their labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/eval/evaluate_options.h"

namespace saferclip {

struct ZeroShotSet {
  std::string name;
  std::vector<std::string> classes;
  std::vector<std::string> groups;   // one a class, or empty
  std::vector<std::string> prompts;  // class by class, all templates of a class together
  std::vector<std::filesystem::path> images;
  std::vector<std::int64_t> labels;
  std::vector<std::string> templates;
  std::vector<std::string> notes;  // what a reader of the result should know
};

// Throws DataError naming file and line: no classes, a folder without class, a label that is no
// class, a template without {}.
ZeroShotSet read_zero_shot_set(const ZeroShotOptions& options);

// A line for each set some of whose class names stand in the anchor prompts: its accuracy then says
// less about knowledge that nobody protected.
std::vector<std::string> anchored_classes(const std::filesystem::path& prompts,
                                          const std::vector<ZeroShotOptions>& sets);

}  // namespace saferclip
