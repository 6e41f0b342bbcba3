// Reads the classes of a zero-shot set from its class file, folders or labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "saferclip/eval/evaluate_options.h"

namespace saferclip {

struct ZeroShotClasses {
  std::string source;                             // the file or folder they come from, for messages
  std::vector<std::string> names;                 // as used in prompts
  std::vector<std::string> groups;                // one per class, or empty
  std::map<std::string, std::int64_t> by_folder;  // class id by folder, the label of its pictures
  std::vector<std::string> notes;
};

// `labels`: the labels of the listed pictures; with `class_form: lists` they are the classes.
// Throws DataError for no classes, a folder that belongs to two classes, or a malformed file.
ZeroShotClasses read_zero_shot_classes(const ZeroShotOptions& options,
                                       const std::vector<std::string>& labels);

// The folder of the set's pictures.
std::filesystem::path zero_shot_pictures(const ZeroShotOptions& options);

// The class id of each label. A label is a class's folder (its name, if the file has no folders);
// labels that are no folders are read as positions from 0 if they all are whole numbers in range.
// Throws DataError that names the labels without a class. `where` names the set in messages.
std::vector<std::int64_t> classes_of_labels(ZeroShotClasses& classes,
                                            const std::vector<std::string>& labels,
                                            const std::string& where);

}  // namespace saferclip
