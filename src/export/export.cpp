#include "saferclip/export/export.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// Fills a temporary sibling and renames it: the folder is complete or absent.
void write_folder(const fs::path& folder, const std::function<void(const fs::path&)>& fill) {
  const fs::path clean = fs::absolute(folder).lexically_normal();
  const fs::path target = clean.has_filename() ? clean : clean.parent_path();
  std::error_code error;
  if (fs::exists(target, error) &&
      !(fs::is_directory(target, error) && fs::is_empty(target, error))) {
    throw ConfigError(
        cat("--out ", target.string(), ": exists and is not an empty folder; name another one"));
  }
  fs::create_directories(target.parent_path(), error);
  const fs::path temporary = temporary_sibling(target);
  fs::remove_all(temporary, error);
  try {
    fs::create_directories(temporary);
    fill(temporary);
    fs::remove(target, error);
    fs::rename(temporary, target);
    sync_to_disk(target.parent_path());
  } catch (const fs::filesystem_error& problem) {
    fs::remove_all(temporary, error);
    throw Error(cat("cannot write ", target.string(), ": ", problem.code().message()), 1);
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
}

const char* dtype_name(at::ScalarType dtype) {
  if (dtype == at::kHalf) return "float16";
  return dtype == at::kBFloat16 ? "bfloat16" : "float32";
}

}  // namespace

void export_hugging_face(const ExportRequest& request, ClipModel& model,
                         const WeightsSource& source, const Tokenizer& tokenizer) {
  std::vector<NamedTensor> tensors;
  for (const TensorSlot& slot : tensor_slots(model)) {
    tensors.push_back({slot.name, slot_view(slot).to(request.dtype)});
  }
  write_folder(request.folder, [&](const fs::path& folder) {
    write_safetensors(folder / "model.safetensors", tensors,
                      {{"activation", to_string(source.geometry.activation)}});
    Json config = Json::parse(hugging_face_config(source.geometry, source.text));
    config["torch_dtype"] = dtype_name(request.dtype);
    write_file_atomically(folder / "config.json", config.dump(2) + "\n");
    write_file_atomically(folder / "preprocessor_config.json",
                          hugging_face_preprocessor(source.preprocessing));
    for (const auto& [name, content] : tokenizer.hugging_face_files()) {
      write_file_atomically(folder / name, content);
    }
    if (!request.model_card.empty())
      write_file_atomically(folder / "README.md", request.model_card);
  });
}

void export_peft(const ExportRequest& request, const std::vector<NamedTensor>& trained,
                 const ModelOptions& model, const AdapterOptions& adapter,
                 const WeightsSource& source) {
  if (adapter.method != "lora") {
    throw ConfigError("--to peft: this run trained every weight, there is no adapter; use --to hf");
  }
  if (model.train_logit_scale) {
    throw ConfigError(
        "--to peft: this run trained the logit scale, which an adapter cannot carry; use --to hf");
  }
  std::vector<NamedTensor> tensors;
  std::vector<std::string> saved_modules;
  for (const NamedTensor& named : trained) {
    const bool is_factor = named.name.find(".lora_") != std::string::npos;
    tensors.push_back({is_factor ? named.name : "base_model.model." + named.name, named.tensor});
    if (!is_factor) saved_modules.push_back(named.name.substr(0, named.name.find('.')));
  }
  std::vector<std::string> targets = adapter.targets;
  std::sort(targets.begin(), targets.end());
  const nlohmann::json config{
      {"alpha_pattern", nlohmann::json::object()},
      {"auto_mapping",
       {{"base_model_class", "CLIPModel"},
        {"parent_library", "transformers.models.clip.modeling_clip"}}},
      {"base_model_name_or_path", source.path.string()},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"lora_alpha", adapter.alpha},
      {"lora_dropout", adapter.dropout},
      {"modules_to_save", saved_modules.empty() ? nlohmann::json() : nlohmann::json(saved_modules)},
      {"peft_type", "LORA"},
      {"r", adapter.rank},
      {"rank_pattern", nlohmann::json::object()},
      {"target_modules", targets},
      {"task_type", nullptr},
      {"use_dora", false},
      {"use_rslora", false}};
  write_folder(request.folder, [&](const fs::path& folder) {
    write_safetensors(folder / "adapter_model.safetensors", tensors);
    write_file_atomically(folder / "adapter_config.json", config.dump(2) + "\n");
    if (!request.model_card.empty())
      write_file_atomically(folder / "README.md", request.model_card);
  });
}

}  // namespace saferclip
