#include "model/peft_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "model/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/hub_names.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

bool is_off(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

// Settings that change what an adapter computes; each must be off.
std::vector<std::string> unsupported_settings(const Json& json) {
  static const std::pair<const char*, const char*> kSettings[] = {
      {"use_dora",
       "DoRA scales whole weight rows; merge it with PEFT's merge_and_unload() and give "
       "the merged model"},
      {"lora_bias", "biases in the adapter; merge it with PEFT's merge_and_unload()"},
      {"fan_in_fan_out", "CLIP has no Conv1D layers"},
      {"layer_replication", "layers would be repeated"},
      {"use_qalora", "a variant of LoRA"},
      {"use_bdlora", "a variant of LoRA"},
      {"kasa_config", "a variant of LoRA"},
      {"monteclora_config", "a variant of LoRA"},
      {"velora_config", "a variant of LoRA"},
      {"arrow_config", "several adapters at once"},
      {"alora_invocation_tokens", "an adapter that is on for some tokens only"},
      {"trainable_token_indices", "single rows of the token embedding"},
      {"target_parameters", "adapters on bare parameters"}};
  std::vector<std::string> problems;
  if (json.value("peft_type", Json()) != "LORA") {
    problems.push_back(cat("peft_type is ", json.value("peft_type", Json()).dump(),
                           ", only \"LORA\" is supported"));
  }
  for (const auto& [key, reason] : kSettings) {
    if (json.contains(key) && !is_off(json[key])) {
      problems.push_back(cat(key, " is ", json[key].dump(), ": ", reason, "; not supported"));
    }
  }
  if (json.contains("bias") && json["bias"] != "none") {
    problems.push_back(cat("bias is ", json["bias"].dump(), ", only \"none\" is supported"));
  }
  // These start from changed base weights, so that the adapter alone does not fit the original.
  static const std::set<std::string> kChangesBase{"pissa", "olora", "corda", "loftq", "lora_ga"};
  const Json start = json.value("init_lora_weights", Json());
  if (start.is_string()) {
    const auto word = start.get<std::string>();
    if (kChangesBase.contains(word) || word.starts_with("pissa_")) {
      problems.push_back(cat("init_lora_weights is \"", word,
                             "\": its base weights were changed; save it with PEFT's "
                             "path_initial_model_for_weight_conversion"));
    }
  }
  return problems;
}

// A pattern is a regular expression in PEFT; plain names with dots are read, others refused.
std::string plain_pattern(std::string pattern, std::vector<std::string>& problems) {
  const std::string written = pattern;
  if (pattern.starts_with('^')) pattern.erase(0, 1);
  if (pattern.ends_with('$')) pattern.pop_back();
  for (std::size_t at = 0; (at = pattern.find("\\.", at)) != std::string::npos;) {
    pattern.erase(at, 1);
  }
  if (pattern.find_first_of("\\*+?[](){}|^$") != std::string::npos) {
    problems.push_back(cat("alpha_pattern \"", written,
                           "\": only plain module names are supported, not regular expressions"));
  }
  return pattern;
}

}  // namespace

double PeftConfig::scaling(const std::string& module, std::int64_t rank) const {
  double value = alpha;
  for (const auto& [pattern, special] : alpha_pattern) {
    if (module == pattern || module.ends_with("." + pattern)) {
      value = special;
      break;
    }
  }
  const auto r = static_cast<double>(rank);
  return value / (uses_rslora ? std::sqrt(r) : r);
}

PeftConfig read_peft_config(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  PeftConfig config;
  read_json_file(file, [&](const Json& json) {
    std::vector<std::string> problems = unsupported_settings(json);
    if (json.contains("base_model_name_or_path") && json["base_model_name_or_path"].is_string()) {
      config.base = json["base_model_name_or_path"].get<std::string>();
    }
    config.alpha = json.value("lora_alpha", 8.0);
    config.uses_rslora = json.value("use_rslora", false);
    const Json patterns = json.value("alpha_pattern", Json::object());
    for (const auto& [pattern, value] : patterns.items()) {
      config.alpha_pattern[plain_pattern(pattern, problems)] = value.get<double>();
    }
    config.decisive = cat(config.alpha, " ", config.uses_rslora, " ", patterns.dump());
    if (!problems.empty()) {
      throw WeightsError(join_problems(file.string() + ": this adapter cannot be used:", problems));
    }
  });
  return config;
}

fs::path adapter_base(const fs::path& folder) {
  const PeftConfig config = read_peft_config(folder);
  std::error_code ignored;
  for (const fs::path& candidate : {fs::path(config.base), folder / config.base}) {
    if (config.base.empty() || !fs::exists(candidate, ignored)) continue;
    // Also what keeps two adapters from naming each other for ever.
    if (fs::exists(candidate / "adapter_config.json", ignored)) {
      throw WeightsError(cat(folder.string(), ": its base ", candidate.string(),
                             " is an adapter too; merge that one first (saferclip export ",
                             candidate.string(), " --to hf) and set model.weights to the result"));
    }
    return candidate;
  }
  throw WeightsError(
      cat(folder.string(), ": a PEFT adapter for \"", config.base,
          "\", which is no file or folder here; set model.weights to those weights and "
          "model.adapter to this folder",
          hub_help(config.base, hub_name(config.base))));
}

}  // namespace saferclip
