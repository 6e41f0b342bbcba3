// Reads a zero-shot set as configured: class names, prompts, pictures and their labels.
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
  std::vector<std::string> groups;   // one per class, or empty
  std::vector<std::string> prompts;  // all templates of the first class, then of the next
  std::vector<std::filesystem::path> images;
  std::vector<std::int64_t> labels;
  std::vector<std::string> templates;
  std::vector<std::string> notes;  // what readers of the result should know
};

// Throws DataError, with file and line, for: no classes, a folder without a class, a label that is
// no class, a template without {}.
ZeroShotSet read_zero_shot_set(const ZeroShotOptions& options);

// One line for each set with class names in the anchor prompts: anchors protect those classes, so
// the set's accuracy says less about unprotected knowledge.
std::vector<std::string> anchored_classes(const std::filesystem::path& prompts,
                                          const std::vector<ZeroShotOptions>& sets);

}  // namespace saferclip
