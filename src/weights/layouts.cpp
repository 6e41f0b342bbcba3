// The layouts that are read and written. To add one, define its Layout in a new file and add it to
// the table below and to WeightsLayout. The table's order decides which layout is tried first on a
// file's tensor names. A folder with several layouts' configurations belongs to the last of them,
// unless its weights show otherwise (weight_files.cpp).
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

void require_both_towers(Towers tower, const char* layout) {
  if (tower == Towers::kBoth) return;
  throw ConfigError(cat("--tower: ", layout, " cannot hold a single tower; use --to hf"));
}

}  // namespace saferclip
