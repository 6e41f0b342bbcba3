// `inspect`. A file inside a folder marks its kind: state.json a checkpoint, config.yaml a run,
// adapter_config.json a PEFT adapter, manifest.json a cache; any other folder is weights. Tensor
// files are read for names, dtypes and shapes; only checksums pass over the data. A file of tensors
// that is no CLIP model is still described, with the reason why it is none.
#include "saferclip/run/description.h"

#include "saferclip/config/run_config.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/data/artifact_manifest.h"
#include "saferclip/io/tensor_file.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/train/checkpoint.h"
#include "saferclip/weights/hub_names.h"
#include "saferclip/weights/published_files.h"
#include "saferclip/weights/weights.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

OrderedJson tensor_list(const TensorFile& file) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [name, info] : file.entries) {
    json[name] = {{"dtype", info.dtype}, {"shape", info.shape}};
  }
  return json;
}

OrderedJson describe_source(const WeightsSource& source) {
  std::vector<std::string> files;
  for (const fs::path& file : source.files) files.push_back(file.filename().string());
  OrderedJson json{{"weights", join(files, ", ")},
                   {"layout", to_string(source.layout)},
                   {"geometry", to_string(source.geometry)},
                   {"parameters", parameter_count(source.geometry)},
                   {"preprocessing", to_string(source.preprocessing)},
                   {"text clean", to_string(source.text.cleaning)},
                   {"sha256", source.hash()}};
  if (!source.published_as().empty()) json["published as"] = source.published_as();
  if (!source.notes.empty()) json["notes"] = source.notes;
  return json;
}

// A file of tensors, with its model, or the reason why it is none.
OrderedJson describe_tensor_file(const fs::path& path) {
  const TensorFile file = open_tensor_file(path);
  OrderedJson json{
      {"kind", file.format + " file"}, {"path", path.string()}, {"bytes", fs::file_size(path)}};
  if (!file.metadata.empty()) json["metadata"] = file.metadata;
  ModelOptions options;
  options.weights = path.string();
  try {
    json.update(describe_source(open_weights(options, 0)));
  } catch (const Error& problem) {
    const std::string sha256 = sha256_file(path);
    json["sha256"] = sha256;
    if (const auto name = published_name(sha256); !name.empty()) json["published as"] = name;
    if (!file.notes.empty()) json["notes"] = file.notes;
    json["as a model"] = problem.what();
  }
  json["tensors"] = tensor_list(file);
  return json;
}

OrderedJson describe_checkpoint(const fs::path& path) {
  const std::string problem = checkpoint_problem(path);
  OrderedJson json{{"kind", "checkpoint"},
                   {"path", path.string()},
                   {"state", problem.empty() ? "good" : "damaged: " + problem}};
  if (problem.empty()) {
    const TrainState state = read_train_state(path);
    json["step"] = state.step;
    json["content"] = state.content;
    json["tensors"] = SafetensorsFile::open(path / "weights.safetensors").entries().size();
  }
  return json;
}

OrderedJson describe_run(const fs::path& path, Logger& log) {
  const RunConfig config = read_run_config(path / "config.yaml", {});
  const CheckpointStore store(path, log);
  const auto pointer = [&](const char* name) {
    const auto step = store.pointer(name);
    return step ? OrderedJson(*step) : OrderedJson(nullptr);
  };
  return {{"kind", "run"},
          {"path", path.string()},
          {"objective", to_string(config.objective.name)},
          {"adapter", to_string(config.adapter.method)},
          {"weights", config.model.weights.empty() ? config.model.init : config.model.weights},
          {"checkpoints", store.steps()},
          {"latest", pointer("latest")},
          {"best", pointer("best")}};
}

OrderedJson describe_artifact(const fs::path& path) {
  const ArtifactManifest manifest = read_artifact_manifest(path);
  const fs::path file = path / manifest.file_name;
  const bool is_whole = fs::is_regular_file(file) && fs::file_size(file) == manifest.file_size &&
                        sha256_file(file) == manifest.file_sha256;
  OrderedJson json{
      {"kind", "cache: " + manifest.kind},
      {"path", path.string()},
      {"key", manifest.key},
      {"inputs", manifest.inputs},
      {"state",
       is_whole ? "good"
                : "damaged: size or checksum differs; remove the folder and it will be rebuilt"}};
  if (is_whole) json["tensors"] = tensor_list(open_tensor_file(file));
  return json;
}

OrderedJson describe_adapter(const fs::path& path) {
  const std::string text = read_file(path / "adapter_config.json");
  const OrderedJson config =
      is_nested_deeper(text, 64) ? OrderedJson() : OrderedJson::parse(text, nullptr, false);
  if (!config.is_object()) {
    throw WeightsError(cat((path / "adapter_config.json").string(), ": expected a JSON object"));
  }
  OrderedJson json{{"kind", "PEFT adapter"}, {"path", path.string()}};
  for (const char* key :
       {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
        "target_modules", "exclude_modules", "modules_to_save", "base_model_name_or_path"}) {
    if (config.contains(key)) json[key] = config[key];
  }
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (!fs::exists(path / name)) continue;
    json["weights"] = name;
    json["sha256"] = sha256_file(path / name);
    json["tensors"] = tensor_list(open_tensor_file(path / name));
    break;
  }
  return json;
}

OrderedJson describe_weights(const fs::path& path) {
  ModelOptions options;
  options.weights = path.string();
  const WeightsSource source = open_weights(options, 0);
  OrderedJson json{{"kind", cat(form_of(source.geometry.family).label, " weights")},
                   {"path", path.string()}};
  json.update(describe_source(source));
  return json;
}

// A geometry without weights (configs/models/*.json). These files leave the activation open,
// because it depends on the weights.
OrderedJson describe_architecture(const fs::path& path) {
  ModelOptions options;
  options.init = path.string();
  const bool is_told = read_file(path).find("hidden_act") != std::string::npos;
  if (!is_told) options.activation = Activation::kGelu;
  const WeightsSource source = open_weights(options, 0);
  std::string geometry = to_string(source.geometry);
  if (!is_told) geometry = geometry.substr(0, geometry.rfind(';')) + "; activation not specified";
  return {{"kind", "architecture"},
          {"path", path.string()},
          {"geometry", geometry},
          {"parameters", parameter_count(source.geometry)},
          {"preprocessing", to_string(source.preprocessing)}};
}

}  // namespace

OrderedJson describe_path(const fs::path& path, Logger& log) {
  if (!fs::exists(path)) {
    throw DataError(cat(path.string(), ": no such file or folder", hub_help(path.string(), path)));
  }
  if (fs::exists(path / "state.json")) return describe_checkpoint(path);
  if (fs::exists(path / "config.yaml")) return describe_run(path, log);
  if (fs::exists(path / "adapter_config.json")) return describe_adapter(path);
  if (fs::exists(path / "manifest.json")) return describe_artifact(path);
  if (fs::is_directory(path) || path.string().ends_with(".index.json")) {
    return describe_weights(path);
  }
  if (path.extension() == ".json") return describe_architecture(path);
  return describe_tensor_file(path);
}

}  // namespace saferclip
