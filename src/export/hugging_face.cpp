#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "export/folder.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

const char* dtype_name(at::ScalarType dtype) {
  if (dtype == at::kHalf) return "float16";
  return dtype == at::kBFloat16 ? "bfloat16" : "float32";
}

bool belongs(const std::string& name, ExportedTower tower) {
  if (tower == ExportedTower::kBoth) return true;
  return tower == ExportedTower::kText ? name.starts_with("text_") : name.starts_with("vis");
}

// A tower's own configuration stands at the top when it is exported alone.
Json tower_config(const Json& config, ExportedTower tower, const FamilyForm& form) {
  if (tower == ExportedTower::kBoth) return config;
  const bool is_text = tower == ExportedTower::kText;
  // SigLIP's heads belong to its towers; CLIP's projections do not.
  const std::string name = cat(form.class_name, is_text ? "Text" : "Vision", "Model",
                               form.has_vision_projection ? "WithProjection" : "");
  Json json{{"architectures", {name}}};
  json.update(config[is_text ? "text_config" : "vision_config"]);
  return json;
}

}  // namespace

void export_hugging_face(const ExportRequest& request, ClipModel& model,
                         const WeightsSource& source, const Tokenizer& tokenizer) {
  std::vector<NamedTensor> tensors;
  for (const TensorSlot& slot : tensor_slots(model)) {
    if (belongs(slot.name, request.tower)) {
      tensors.push_back({slot.name, slot_view(slot).to(request.dtype)});
    }
  }
  write_export(request, [&](const fs::path& folder) {
    write_safetensors(folder / "model.safetensors", tensors,
                      {{"activation", activation_text(source.geometry)}});
    Json config = tower_config(Json::parse(hugging_face_config(source.geometry, source.text)),
                               request.tower, form_of(source.geometry.family));
    config["torch_dtype"] = dtype_name(request.dtype);
    write_file_atomically(folder / "config.json", config.dump(2) + "\n");
    if (request.tower != ExportedTower::kText) {
      write_file_atomically(
          folder / "preprocessor_config.json",
          hugging_face_preprocessor(source.preprocessing, source.geometry.family));
    }
    if (request.tower != ExportedTower::kVision) write_tokenizer(folder, tokenizer);
  });
}

}  // namespace saferclip
