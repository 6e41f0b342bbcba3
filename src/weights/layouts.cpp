// The layouts that are read and written. To add one: a file that defines its Layout, and its line
// in the table below (and a name in WeightsLayout for those who ask which one it was). The order
// says who is asked first about the names of a file's tensors; a folder with the configurations of
// several is the last one's unless its weights say otherwise (weight_files.cpp).
#include "weights/layouts.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/family_defaults.h"
#include "weights/hugging_face.h"
#include "weights/open_clip.h"
#include "weights/openai.h"

namespace saferclip {
namespace {

constexpr const Layout* kLayouts[] = {&kOpenAiLayout, &kHuggingFaceLayout, &kOpenClipLayout};

}  // namespace

std::span<const Layout* const> layouts() { return kLayouts; }

const Layout& layout_of(WeightsLayout kind) {
  for (const Layout* layout : kLayouts) {
    if (layout->kind == kind) return *layout;
  }
  throw Error("no weights have this layout", 1);
}

void apply_habits(const Layout& layout, WeightsSource& source) {
  source.preprocessing.crop_rounding = layout.habits.crop_rounding;
  source.preprocessing.transparency = layout.habits.transparency;
  source.text.cleaning = default_cleaning(source.geometry.family, layout.habits.cleaning);
}

void require_both_towers(ExportedTower tower, const char* layout) {
  if (tower == ExportedTower::kBoth) return;
  throw ConfigError(cat("--tower: ", layout, " has no form for one tower alone; use --to hf"));
}

}  // namespace saferclip
