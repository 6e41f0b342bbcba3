// The figures of an evaluation document: what people call each number, its unit, and which way is
// better. Terminal table, report, model card and checkpoint.best_metric read this one table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/eval/document.h"

namespace saferclip {

enum class FigureUnit {
  kPercent,  // 0 … 100
  kShare,    // 0 … 1 in the document, percent for people
  kCosine,
  kNone,
};

enum class Better { kHigher, kLower, kNeither };

// The table in which readers show a figure.
enum class FigurePart {
  kUnsafeFirst,
  kRetrieval,
  kSafeGround,
  kTags,
  kZeroShot,
  kRealImages,
  kDrift,
  kSpace,
  kLoss,
  kOther,  // in the document only
};

struct Figure {
  std::string id;       // dotted path below "before" and "after"
  std::string heading;  // its group in a long table: "zero-shot food101", "drift"; else empty
  std::string label;    // without heading and unit
  FigureUnit unit = FigureUnit::kNone;
  Better better = Better::kNeither;
  int decimals = 1;
  FigurePart part = FigurePart::kOther;
  std::string counts = {};  // path of the object that holds n, and gallery or classes; may be empty
};

// The table, in display order. Words in braces stand for names and K: "zero_shot.{set}.top1".
const std::vector<Figure>& figure_kinds();

// The figure at a path, with names filled in. A path that no kind covers is its own label.
Figure figure_at(const std::string& path);

// The figures that stand for a split, in display order, as far as the model has them; zero-shot
// sets and real images are apart.
std::vector<Figure> main_figures(const OrderedJson& model);
// All figures of a part that a model has, in display order: names, K and sets as in the document,
// the figures of a set together, its headline figure first.
std::vector<Figure> figures_in(const OrderedJson& model, FigurePart part);

// The figures of a terminal table: the main ones, real images, zero-shot sets, drift, space.
std::vector<Figure> shown_figures(const OrderedJson& model);

// "top-1, %", "zero-shot food101: top-1, %".
std::string label_with_unit(const Figure& figure);
std::string full_label(const Figure& figure);

// A value in the figure's unit and decimals: "96.9", "96.9 %". For an absent one, "–".
std::string figure_text(const Figure& figure, std::optional<double> value);
std::string figure_with_unit(const Figure& figure, std::optional<double> value);
// The value of a model: "96.9"; its 95 % interval: "[95.0, 98.4]", empty if there is none.
std::string value_text(const Figure& figure, const OrderedJson& model);
std::string interval_text(const Figure& figure, const OrderedJson& model);

// The p of a permutation test: "0.012"; "≤0.001" where no resample came as far, for which p is the
// least that so many resamples can give; "<0.001" below.
std::string chance_text(double p, std::optional<double> resamples);

// The number of queries and of the items that they choose from.
std::optional<std::pair<std::int64_t, std::int64_t>> queries_and_items(const Figure& figure,
                                                                       const OrderedJson& model);

// +1: higher is better, -1: lower is, 0: neither.
int sign_of(Better better);
// "↑": higher is better, "↓": lower is; empty for neither.
const char* arrow_of(Better better);

}  // namespace saferclip
