// `train` and `validation` come from their own options, or else, like all other names, from
// data.evaluation. An entry's own image root and template replace the general ones. Training,
// preparation and evaluation all resolve split names here.
#include "saferclip/data/split_source.h"

#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

SplitSource split_source(const DataOptions& data, const std::string& split) {
  SplitSource source{split, "", data.image_root, data.unsafe_image_template};
  if (split == "train") source.file = data.train;
  if (split == "validation") source.file = data.validation;
  // Entries named `train` or `validation` apply when data.train or data.validation is empty.
  if (const auto found = data.evaluation.find(split);
      source.file.empty() && found != data.evaluation.end()) {
    const EvaluationSplitOptions& own = found->second;
    source.file = own.file;
    if (!own.image_root.empty()) source.image_root = own.image_root;
    if (!own.unsafe_image_template.empty())
      source.unsafe_image_template = own.unsafe_image_template;
  }
  if (!source.file.empty()) return source;
  std::vector<std::string> names{"train"};
  if (!data.validation.empty()) names.emplace_back("validation");
  for (const auto& [name, own] : data.evaluation) names.push_back(name);
  throw ConfigError(
      cat("--split ", split, ": no such split; the configuration has ", join(names, ", ")));
}

ManifestRequest manifest_request(const DataOptions& data, const SplitSource& source,
                                 UnsafeHalf unsafe) {
  ManifestRequest request;
  request.file = source.file;
  request.split = source.name;
  request.image_root = source.image_root;
  request.unsafe_image_template = source.unsafe_image_template;
  request.missing_unsafe_image = data.missing_unsafe_image;
  request.images_outside_root = data.images_outside_root;
  request.class_caption = data.class_caption;
  request.needs_unsafe = unsafe == UnsafeHalf::kRequired;
  request.detects_unsafe = unsafe == UnsafeHalf::kIfAnyRowHasOne;
  return request;
}

}  // namespace saferclip
