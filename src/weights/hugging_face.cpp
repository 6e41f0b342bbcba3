// transformers' folders, the canonical layout: tensors are read and written unchanged. The files
// are those that `from_pretrained` looks for and `save_pretrained` writes; config.json is handled
// in hugging_face_config.cpp, the image processor in preprocessor_config.cpp.
#include "weights/hugging_face.h"

#include <ATen/ATen.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"
#include "saferclip/model/trained.h"
#include "weights/foreign_models.h"
#include "weights/hugging_face_config.h"
#include "weights/json_fields.h"
#include "weights/preprocessor_config.h"
#include "weights/tensor_layout.h"
#include "weights/weight_files.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHuggingFaceFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                             "pytorch_model.bin", "pytorch_model.bin.index.json"};

SourceTensor same_name(const std::string& canonical) { return {canonical}; }

bool has_hugging_face_names(const TensorFiles& files) {
  return files.has_prefix("vision_model.") || files.has_prefix("text_model.");
}

void attach(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files) {
  attach_tensors(source, files, same_name,
                 [](const std::string& name) { return name.ends_with(".position_ids"); });
}

// `folder` if it holds any tokenizer file, usable or not; else empty.
fs::path tokenizer_folder_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt",
                           "spiece.model", "tokenizer.model", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (fs::exists(folder / name)) return folder;
  }
  return {};
}

WeightsSource open_hugging_face(const fs::path& folder, const ModelOptions& options,
                                std::shared_ptr<const TensorFiles> files) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kHuggingFace;
  const fs::path config = folder / kHuggingFaceLayout.config;
  read_json_file(config, [&](const nlohmann::json& json) {
    read_hugging_face_config(json, config.string(), options, source);
  });
  apply_habits(kHuggingFaceLayout, source);
  read_folder_preprocessor(folder, source);
  source.tokenizer_folder = tokenizer_folder_in(folder);
  if (source.tokenizer_folder.empty() && !source.text.is_padded) {
    source.notes.push_back(
        cat(folder.string(), ": no tokenizer files; using CLIP's published vocabulary"));
  }
  if (!files) files = client_files(kHuggingFaceLayout, folder, source.notes);
  refuse_foreign_model(*files, files->where(), source.geometry.family);
  attach(source, files);
  return source;
}

FolderContents hugging_face_contents(const ModelRequest& request) {
  FolderContents contents;
  contents.tensor_file = kHuggingFaceFiles[0];
  contents.metadata = {{"activation", activation_text(request.source.geometry)}};
  contents.texts = transformers_settings(request);
  contents.tensors = laid_out_tensors(request.model, request.dtype, same_name);
  std::erase_if(contents.tensors,
                [&](const NamedTensor& named) { return !is_of_towers(named.name, request.tower); });
  return contents;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> transformers_settings(
    const ModelRequest& request) {
  const WeightsSource& source = request.source;
  std::vector<std::pair<std::string, std::string>> texts{
      {kHuggingFaceLayout.config, hugging_face_config(source, request.dtype, request.tower)}};
  if (request.tower != Towers::kText) {
    texts.emplace_back(kPreprocessorFile,
                       preprocessor_config(source.preprocessing, source.geometry.family));
  }
  return texts;
}

constinit const Layout kHuggingFaceLayout{
    .kind = WeightsLayout::kHuggingFace,
    .label = "Hugging Face folder",
    .title = "Hugging Face",
    .client = "transformers",
    .habits = {CropRounding::kFloor, Transparency::kOnWhite, TextCleaning::kHuggingFace},
    .config = "config.json",
    .files = kHuggingFaceFiles,
    .expected =
        "model.safetensors, model.safetensors.index.json, pytorch_model.bin or "
        "pytorch_model.bin.index.json",
    .covers = [](Family) { return true; },
    .has_names = has_hugging_face_names,
    .attach = attach,
    .open = open_hugging_face,
    .contents = hugging_face_contents};

}  // namespace saferclip
