// Reads and writes adapter_config.json.
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

// The settings that the file decides.
struct PeftConfig {
  // `alpha_pattern` and `rank_pattern` in file order: the first match wins.
  using Patterns = std::vector<std::pair<NameTest, double>>;

  std::string base;        // base_model_name_or_path
  std::string base_class;  // "CLIPTextModel": auto_mapping.base_model_class; may be empty
  double alpha = 8;
  std::optional<std::int64_t> rank;  // as written
  bool uses_rslora = false;
  Patterns alpha_pattern;
  Patterns rank_pattern;
  NameTest is_targeted;  // target_modules minus exclude_modules; empty: not given
  std::string decisive;  // the settings that change the result, for hashes

  // alpha / r, or alpha / sqrt(r) with rslora. `module`: PEFT's name.
  double scaling(const std::string& module, std::int64_t rank) const;
  // Why PEFT would reject factors of this rank for this module; empty when it would accept them.
  std::string problem_of(const std::string& module, std::int64_t rank) const;
};

// `text`: the JSON of adapter_config.json; `where`: its file. Throws WeightsError listing every
// unsupported setting.
PeftConfig parse_peft_config(const std::string& text, const std::string& where);
PeftConfig read_peft_config(const std::filesystem::path& folder);

// `base_model_name_or_path` of an adapter folder; throws WeightsError when it names no local path.
std::filesystem::path adapter_base(const std::filesystem::path& folder);

struct PeftConfigRequest {
  const AdapterOptions& adapter;
  Family family = Family::kClip;
  Towers tower = Towers::kBoth;    // the towers with the adapter
  std::string base_name;           // base_model_name_or_path
  std::vector<std::string> saved;  // modules stored whole
  double strength = 1;             // scales the adapter
};
// The text of the file.
std::string peft_config_text(const PeftConfigRequest& request);

}  // namespace saferclip
