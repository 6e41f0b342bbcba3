// A file on its own: its tensor names determine the layout; the geometry comes from
// `model.architecture` or, where possible, from the shapes. Assumptions are noted; what cannot be
// known must be given by the user.
#include "weights/bare_file.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/activation_words.h"
#include "weights/foreign_models.h"
#include "weights/hugging_face_config.h"
#include "weights/json_fields.h"
#include "weights/layouts.h"
#include "weights/openai.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// When no layout has these names, the last one reports what is missing.
const Layout& layout_of_names(const TensorFiles& files, Family family) {
  for (const Layout* layout : layouts()) {
    if (layout->covers(family) && layout->has_names(files)) return *layout;
  }
  return *layouts().back();
}

// The activation known from the file itself: from our metadata, or QuickGELU if the file is
// OpenAI's, which all use it.
std::optional<Activation> told_activation(const TensorFiles& files) {
  const auto said = files.metadata().find("activation");
  if (said != files.metadata().end()) {
    if (const auto known = enum_from<Activation>(said->second)) return known;
  }
  return is_openai_archive(files) ? std::optional(Activation::kQuickGelu) : std::nullopt;
}

ModelOptions with_told_activation(ModelOptions options, const fs::path& file,
                                  const TensorFiles& files) {
  const std::optional<Activation> told = told_activation(files);
  if (!told) return options;
  require_same_activation(options, to_string(*told), file.string());
  options.activation = told;
  return options;
}

void read_described(const ModelOptions& options, WeightsSource& source) {
  read_json_file(options.architecture, [&](const nlohmann::json& json) {
    read_architecture(json, options.architecture, options, source);
  });
}

void infer(const Layout& layout, const TensorFiles& files, const ModelOptions& options,
           WeightsSource& source) {
  const std::string file = source.path.string();
  if (layout.infer == nullptr) {
    throw WeightsError(cat(file, ": has ", layout.title,
                           "'s tensor names, which do not show the number of heads or the "
                           "activation; set model.weights to the folder with its ",
                           layout.config, ", or set model.architecture"));
  }
  source.geometry = layout.infer(files);
  source.geometry.text.activation = source.geometry.vision.activation =
      demanded_activation(options, file + " does not say");
  // These are the settings of OpenAI's own archives.
  if (is_openai_archive(files)) return;
  source.notes.push_back(
      cat(file,
          ": assuming heads of width 64, OpenAI's mean and std, and bicubic resizing, which the "
          "file does not specify; set model.architecture if this is wrong"));
}

}  // namespace

WeightsSource open_bare_file(const fs::path& file, const ModelOptions& options,
                             const std::shared_ptr<const TensorFiles>& files) {
  WeightsSource source;
  source.path = file;
  const bool is_described = !options.architecture.empty();
  // Without a description only a CLIP is accepted.
  if (!is_described) refuse_foreign_model(*files, file.string(), Family::kClip);
  const ModelOptions told = with_told_activation(options, file, *files);
  if (is_described) read_described(told, source);
  const Layout& layout = layout_of_names(*files, source.geometry.family);
  if (!is_described) infer(layout, *files, told, source);
  apply_habits(layout, source);
  refuse_foreign_model(*files, file.string(), source.geometry.family);
  source.layout = layout.kind;
  layout.attach(source, files);
  return source;
}

}  // namespace saferclip
