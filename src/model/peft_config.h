// What adapter_config.json decides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace saferclip {

struct PeftConfig {
  std::string base;  // base_model_name_or_path
  double alpha = 8;
  bool uses_rslora = false;
  std::map<std::string, double> alpha_pattern;  // by the end of a module's name
  std::string decisive;                         // what changes the result, for hashes

  // alpha / r, or alpha / sqrt(r) with rslora. `module` as the file names it.
  double scaling(const std::string& module, std::int64_t rank) const;
};

// Throws WeightsError that lists every setting that is not supported.
PeftConfig read_peft_config(const std::filesystem::path& folder);

}  // namespace saferclip
