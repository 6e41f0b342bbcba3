// The classes of a zero-shot set, out of the file, folders or labels that the set has them in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "saferclip/eval/evaluate_options.h"

namespace saferclip {

struct ZeroShotClasses {
  std::string source;                             // where they come from, for messages
  std::vector<std::string> names;                 // as prompts have them
  std::vector<std::string> groups;                // one a class, or empty
  std::map<std::string, std::int64_t> by_folder;  // the label of a class's pictures
  std::vector<std::string> notes;
};

// `labels` are those of the listed pictures, which are the classes of `class_form: lists`. Throws
// DataError: no classes, a folder of two classes, a malformed file.
ZeroShotClasses read_zero_shot_classes(const ZeroShotOptions& options,
                                       const std::vector<std::string>& labels);

// The folder of the set's pictures.
std::filesystem::path zero_shot_pictures(const ZeroShotOptions& options);

// The class of each label: the one whose folder (name, where the file has no folders) it is, or,
// where all are whole numbers and no folders, the class at that position from 0. Throws DataError
// that names the labels of no class.
std::vector<std::int64_t> classes_of_labels(ZeroShotClasses& classes,
                                            const std::vector<std::string>& labels,
                                            const std::string& where);

}  // namespace saferclip
