// The table of layouts. A layout is one source file that defines a Layout, and one line in
// layouts.cpp; all code that must choose uses the table.
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

// How the layout's own client treats pictures and captions.
struct ClientHabits {
  CropRounding crop_rounding = CropRounding::kHalfEven;
  Transparency transparency = Transparency::kDropped;
  TextCleaning cleaning = TextCleaning::kOpenAi;
};

struct Layout {
  WeightsLayout kind;
  const char* label;   // "Hugging Face folder"
  const char* title;   // "Hugging Face", for tensor names
  const char* client;  // "transformers", which reads such folders
  ClientHabits habits = {};

  // A folder of this layout: the configuration file (null: none) and the weight files that the
  // client looks for, in its order. No other layout uses file names that begin with `own`.
  // `expected`: the usual names, for messages.
  const char* config = nullptr;
  std::span<const char* const> files = {};
  std::string_view own = {};
  const char* expected = "";
  bool takes_architecture = false;  // model.architecture may fill gaps in the config

  bool (*covers)(Family family);
  // Whether the tensors have this layout's names. Called in table order.
  bool (*has_names)(const TensorFiles& files);
  // Geometry from shapes alone, for a file without a configuration; null: shapes do not determine
  // it.
  ClipGeometry (*infer)(const TensorFiles& files) = nullptr;
  // Attaches the files' tensors to a source whose geometry is known.
  void (*attach)(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files);
  // Reads a folder; `files`: the named ones, or null for those that the client would load. Null
  // without `config`.
  WeightsSource (*open)(const std::filesystem::path& folder, const ModelOptions& options,
                        std::shared_ptr<const TensorFiles> files) = nullptr;
  FolderContents (*contents)(const ModelRequest& request);
};

std::span<const Layout* const> layouts();
// The layout of this kind; every kind except kRandom has one.
const Layout& layout_of(WeightsLayout kind);

// Sets preprocessing and caption cleaning to what the layout's client does for the family.
void apply_habits(const Layout& layout, WeightsSource& source);

// Throws ConfigError when one tower alone is requested from a layout that needs both.
void require_both_towers(Towers tower, const char* layout);

}  // namespace saferclip
