// adapter_config.json, read and written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/model/model_options.h"
#include "saferclip/weights/folder_contents.h"
#include "weights/module_pattern.h"

namespace saferclip {

inline constexpr const char* kPeftConfigFile = "adapter_config.json";

// What the file decides.
struct PeftConfig {
  // Of `alpha_pattern` and `rank_pattern`, in the file's order: the first that matches counts.
  using Patterns = std::vector<std::pair<NameTest, double>>;

  std::string base;        // base_model_name_or_path
  std::string base_class;  // "CLIPTextModel": auto_mapping.base_model_class; may be empty
  double alpha = 8;
  std::optional<std::int64_t> rank;  // as written
  bool uses_rslora = false;
  Patterns alpha_pattern;
  Patterns rank_pattern;
  NameTest is_targeted;  // target_modules without exclude_modules; empty: they do not say
  std::string decisive;  // what changes the result, for hashes

  // alpha / r, or alpha / sqrt(r) with rslora. `module` as PEFT named it.
  double scaling(const std::string& module, std::int64_t rank) const;
  // Why PEFT would not take factors of this rank for this module; empty when it would.
  std::string problem_of(const std::string& module, std::int64_t rank) const;
};

// `text`: JSON as adapter_config.json has it, of the file `where`. Throws WeightsError that lists
// every setting that is not supported.
PeftConfig parse_peft_config(const std::string& text, const std::string& where);
PeftConfig read_peft_config(const std::filesystem::path& folder);

// `base_model_name_or_path` of an adapter folder; throws WeightsError when it names no local path.
std::filesystem::path adapter_base(const std::filesystem::path& folder);

struct PeftConfigRequest {
  const AdapterOptions& adapter;
  Family family = Family::kClip;
  ExportedTower tower = ExportedTower::kBoth;  // that the adapter is on
  std::string base_name;                       // base_model_name_or_path
  std::vector<std::string> saved;              // modules stored whole
  double strength = 1;                         // scales the adapter
};
// The text of the file.
std::string peft_config_text(const PeftConfigRequest& request);

}  // namespace saferclip
