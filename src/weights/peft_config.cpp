// Reads and writes PEFT's adapter_config.json (source of 0.21). PEFT has dozens of settings that
// change what an adapter computes; the unsupported ones must be off. Written files hold what PEFT
// needs to find the same layers with the same scaling.
#include "weights/peft_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/weights/hub_names.h"
#include "weights/json_fields.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

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
      {"alora_invocation_tokens", "an adapter that applies only to some tokens"},
      {"trainable_token_indices", "trains single rows of the token embedding"},
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
  // These initializations change the base weights, so the adapter alone does not fit the original.
  static const std::set<std::string> kChangesBase{"pissa", "olora", "corda", "loftq", "lora_ga"};
  const Json start = json.value("init_lora_weights", Json());
  if (start.is_string()) {
    const auto word = start.get<std::string>();
    if (kChangesBase.contains(word) || word.starts_with("pissa_")) {
      problems.push_back(cat("init_lora_weights is \"", word,
                             "\", which changes the base weights; save the adapter with PEFT's "
                             "path_initial_model_for_weight_conversion"));
    }
  }
  return problems;
}

// Keys are regular expressions; the first match wins, so the file's order is kept.
PeftConfig::Patterns read_patterns(const OrderedJson& json, const std::string& name,
                                   std::vector<std::string>& problems) {
  PeftConfig::Patterns patterns;
  if (!json.contains(name) || json[name].is_null()) return patterns;
  if (!json[name].is_object()) {
    problems.push_back(cat(name, " is ", json[name].dump(), ", expected an object"));
    return patterns;
  }
  for (const auto& [key, value] : json[name].items()) {
    if (!value.is_number()) {
      problems.push_back(cat(name, " \"", key, "\" is ", value.dump(), ", expected a number"));
      continue;
    }
    try {
      patterns.emplace_back(pattern_key(key), value.get<double>());
    } catch (const WeightsError& problem) {
      problems.push_back(cat(name, " ", problem.what()));
    }
  }
  return patterns;
}

// A list holds names or their endings; a string is an expression for the whole name.
NameTest read_modules(const Json& json, const std::string& name) {
  const Json value = json.value(name, Json());
  if (value == "all-linear") return {};
  if (value.is_string() && value != "") return full_match(value.get<std::string>());
  if (!value.is_array() || value.empty()) return {};
  return [ends = value.get<std::vector<std::string>>()](const std::string& module) {
    return std::any_of(ends.begin(), ends.end(), [&](const std::string& end) {
      return module == end || module.ends_with("." + end);
    });
  };
}

NameTest read_targets(const Json& json) {
  try {
    const NameTest targets = read_modules(json, "target_modules");
    const NameTest excluded = read_modules(json, "exclude_modules");
    if (!targets && !excluded) return {};
    return [targets, excluded](const std::string& module) {
      return (!targets || targets(module)) && (!excluded || !excluded(module));
    };
  } catch (const WeightsError&) {
    return {};  // only a check: the factors themselves show the targets
  }
}

double matching(const PeftConfig::Patterns& patterns, const std::string& module, double fallback) {
  for (const auto& [is_for, value] : patterns) {
    if (is_for(module)) return value;
  }
  return fallback;
}

// PEFT matches a list against the endings of module names, a string as a regular expression against
// whole names. A pooling head has its own out_proj, which PEFT cannot adapt.
Json target_modules(const AdapterOptions& adapter, Towers tower, Family family) {
  std::vector<std::string> targets = adapter.targets;
  std::sort(targets.begin(), targets.end());
  const bool has_pool = !form_of(family).has_class_token;
  if (tower == Towers::kBoth && !has_pool) return targets;
  const char* towers = tower == Towers::kBoth   ? "(text|vision)"
                       : tower == Towers::kText ? "text"
                                                : "vision";
  return cat(towers, "_model\\..*(self_attn|mlp|embeddings)\\.(", join(targets, "|"), ")");
}

Json auto_mapping(Family family) {
  const FamilyForm& form = form_of(family);
  return {{"base_model_class", cat(form.class_name, "Model")},
          {"parent_library", cat("transformers.models.", form.name, ".modeling_", form.name)}};
}

}  // namespace

double PeftConfig::scaling(const std::string& module, std::int64_t r) const {
  const auto value = static_cast<double>(r);
  return matching(alpha_pattern, module, alpha) / (uses_rslora ? std::sqrt(value) : value);
}

std::string PeftConfig::problem_of(const std::string& module, std::int64_t r) const {
  if (is_targeted && !is_targeted(module)) {
    return "target_modules and exclude_modules leave this module out, so PEFT would ignore it too";
  }
  const double expected = matching(rank_pattern, module, rank ? static_cast<double>(*rank) : -1);
  if (expected >= 0 && expected != static_cast<double>(r)) {
    return cat("the factors have rank ", r, ", but the configuration says ", expected,
               " (r, rank_pattern); PEFT would reject them");
  }
  return "";
}

PeftConfig parse_peft_config(const std::string& text, const std::string& where) {
  const OrderedJson ordered = OrderedJson::parse(text);
  const Json json = Json::parse(text);
  PeftConfig config;
  std::vector<std::string> problems = unsupported_settings(json);
  if (json.contains("base_model_name_or_path") && json["base_model_name_or_path"].is_string()) {
    config.base = json["base_model_name_or_path"].get<std::string>();
  }
  const Json mapping = json.value("auto_mapping", Json());
  if (mapping.is_object() && mapping.contains("base_model_class")) {
    config.base_class = mapping["base_model_class"].get<std::string>();
  }
  config.alpha = json.value("lora_alpha", 8.0);
  if (json.contains("r") && json["r"].is_number()) config.rank = json["r"].get<std::int64_t>();
  config.uses_rslora = json.value("use_rslora", false);
  config.alpha_pattern = read_patterns(ordered, "alpha_pattern", problems);
  config.rank_pattern = read_patterns(ordered, "rank_pattern", problems);
  config.is_targeted = read_targets(json);
  config.decisive = cat(config.alpha, " ", config.uses_rslora, " ",
                        ordered.value("alpha_pattern", OrderedJson()).dump(), config.base_class);
  if (!problems.empty()) {
    throw WeightsError(join_problems(where + ": this adapter cannot be used:", problems));
  }
  return config;
}

PeftConfig read_peft_config(const fs::path& folder) {
  const fs::path file = folder / kPeftConfigFile;
  PeftConfig config;
  read_json_file(file,
                 [&](const Json&) { config = parse_peft_config(read_file(file), file.string()); });
  return config;
}

fs::path adapter_base(const fs::path& folder) {
  const PeftConfig config = read_peft_config(folder);
  std::error_code ignored;
  for (const fs::path& candidate : {fs::path(config.base), folder / config.base,
                                    fs::absolute(folder).parent_path() / config.base}) {
    if (config.base.empty() || !fs::exists(candidate, ignored)) continue;
    // This also keeps two adapters from naming each other endlessly.
    if (fs::exists(candidate / kPeftConfigFile, ignored)) {
      throw WeightsError(cat(folder.string(), ": its base ", candidate.string(),
                             " is an adapter too; merge it first (saferclip export ",
                             candidate.string(), " --to hf) and set model.weights to the result"));
    }
    return candidate;
  }
  throw WeightsError(
      cat(folder.string(), ": is a PEFT adapter for \"", config.base,
          "\", which is not a file or folder here; set model.weights to those weights and "
          "model.adapter to this folder",
          hub_help(config.base, hub_name(config.base))));
}

std::string peft_config_text(const PeftConfigRequest& request) {
  const AdapterOptions& adapter = request.adapter;
  const Json json{{"alpha_pattern", Json::object()},
                  {"auto_mapping", auto_mapping(request.family)},
                  {"base_model_name_or_path", request.base_name},
                  {"bias", "none"},
                  {"fan_in_fan_out", false},
                  {"inference_mode", true},
                  {"lora_alpha", adapter.alpha * request.strength},
                  {"lora_dropout", adapter.dropout},
                  {"modules_to_save", request.saved.empty() ? Json() : Json(request.saved)},
                  {"peft_type", "LORA"},
                  {"r", adapter.rank},
                  {"rank_pattern", Json::object()},
                  {"target_modules", target_modules(adapter, request.tower, request.family)},
                  {"task_type", nullptr},
                  {"use_dora", false},
                  {"use_rslora", false}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
