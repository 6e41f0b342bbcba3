// The table of layouts. A layout is one file that describes itself in a Layout, and one line in
// layouts.cpp; everything that has to choose goes by the table.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/weights.h"
#include "weights/tensor_files.h"

namespace saferclip {

// What the layout's own client does to pictures and captions.
struct ClientHabits {
  CropRounding crop_rounding = CropRounding::kHalfEven;
  Transparency transparency = Transparency::kDropped;
  TextCleaning cleaning = TextCleaning::kOpenAi;
};

struct Layout {
  WeightsLayout kind;
  const char* word;    // of `export --to`
  const char* label;   // "Hugging Face folder"
  const char* title;   // "Hugging Face", whose tensor names these are
  const char* client;  // "transformers", which reads such folders
  ClientHabits habits = {};

  // A folder of this layout: the file that says what the weights are (null: there is none), and
  // the files of weights that the client looks for, in its order. Names that begin with `own` are
  // those of no other layout. `expected`: the usual ones, for messages.
  const char* config = nullptr;
  std::span<const char* const> files = {};
  std::string_view own = {};
  const char* expected = "";
  bool takes_architecture = false;  // model.architecture may describe what the config leaves open

  bool (*covers)(Family family);
  // Whether tensors have this layout's names. Asked in the order of the table.
  bool (*has_names)(const TensorFiles& files);
  // Geometry out of shapes alone, for a file without a configuration; null: they do not tell.
  ClipGeometry (*infer)(const TensorFiles& files) = nullptr;
  // Makes the tensors of the files those of a source whose geometry is known.
  void (*attach)(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files);
  // Reads a folder; `files`: the named ones, null to take those that the client would take. Null
  // without `config`.
  WeightsSource (*open)(const std::filesystem::path& folder, const ModelOptions& options,
                        std::shared_ptr<const TensorFiles> files) = nullptr;
  FolderContents (*contents)(const ModelRequest& request);
};

std::span<const Layout* const> layouts();
// The layout of this kind; there is one for each that is no random initialisation.
const Layout& layout_of(WeightsLayout kind);

// Pictures and captions as the layout's client prepares them for a family.
void apply_habits(const Layout& layout, WeightsSource& source);

// Throws ConfigError when one tower alone is asked of a layout that has both.
void require_both_towers(ExportedTower tower, const char* layout);

}  // namespace saferclip
