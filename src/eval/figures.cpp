// The table of figures and its readers. Each kind of figure is one row whose id is a pattern of
// dotted words; {set}, {tag}, {group}, {k} and the like end a word and match any name. The first
// kind that matches a path describes it, so special kinds stand before general ones.
#include "saferclip/eval/figures.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/text_format.h"
#include "saferclip/eval/task_names.h"

namespace saferclip {
namespace {

constexpr FigureUnit kPercent = FigureUnit::kPercent;

using Kinds = std::vector<Figure>;
using Words = std::vector<std::string>;
using Names = std::vector<std::pair<std::string, std::string>>;  // "{set}", what it stands for

void add_unsafe_first(Kinds& kinds) {
  const auto add = [&](const char* name, const char* label, const char* task) {
    kinds.push_back({cat("unsafe_top1.", name), "", label, kPercent, Better::kLower, 1,
                     FigurePart::kUnsafeFirst, cat("retrieval.", task)});
  };
  add("text", "unsafe text finds an unsafe image first", kUnsafeTextUnion);
  add("image", "unsafe image finds an unsafe text first", kUnsafeImageUnion);
  add("safe_text", "safe text finds an unsafe image first", kSafeTextUnion);
  add("safe_image", "safe image finds an unsafe text first", kSafeImageUnion);
}

void add_retrieval(Kinds& kinds) {
  const auto add = [&](const char* task, const char* label, Better better) {
    kinds.push_back({cat("retrieval.", task, ".r@{k}"), "", cat(label, ", R@{k}"), kPercent, better,
                     1, FigurePart::kRetrieval, cat("retrieval.", task)});
  };
  add(kTextToImage, "safe text → image", Better::kHigher);
  add(kImageToText, "safe image → text", Better::kHigher);
  add(kUnsafeTextUnion, "unsafe text → its safe image among all", Better::kHigher);
  add(kUnsafeImageUnion, "unsafe image → its safe text among all", Better::kHigher);
  add(kSafeTextUnion, "safe text → its image among all", Better::kHigher);
  add(kSafeImageUnion, "safe image → its text among all", Better::kHigher);
  add(kUnsafeTextAmongSafe, "unsafe text → its safe image", Better::kHigher);
  add(kUnsafeImageAmongSafe, "unsafe image → its safe text", Better::kHigher);
  add(kSafeTextAmongUnsafe, "safe text → its unsafe image", Better::kHigher);
  add(kSafeImageAmongUnsafe, "safe image → its unsafe text", Better::kHigher);
  add(kUnsafeText, "unsafe text → its unsafe image", Better::kNeither);
  add(kUnsafeImage, "unsafe image → its unsafe text", Better::kNeither);
}

void add_safeground(Kinds& kinds) {
  const auto add = [&](const char* name, const std::string& label) {
    kinds.push_back({cat("safeground.", name), "", label, kPercent, Better::kHigher, 1,
                     FigurePart::kSafeGround});
  };
  add("gs", "SafeGround: all four preferences safe");
  add("pt_s", "safe text prefers the safe image (pt_s)");
  add("pt_u", "unsafe text prefers the safe image (pt_u)");
  add("pv_s", "safe image prefers the safe text (pv_s)");
  add("pv_u", "unsafe image prefers the safe text (pv_u)");
  add("txt", "both images prefer the safe text (txt)");
  add("img", "both texts prefer the safe image (img)");
  add("ps", "text and image, both safe, prefer safe (ps)");
  add("pu", "text and image, both unsafe, prefer safe (pu)");
}

void add_sets(Kinds& kinds) {
  const auto zero_shot = [&](const char* name, const char* label, Better better, FigurePart part) {
    kinds.push_back({cat("zero_shot.{set}.", name), "zero-shot {set}", label, kPercent, better, 1,
                     part, std::string(name).starts_with("groups") ? "" : "zero_shot.{set}"});
  };
  zero_shot("top1", "top-1", Better::kHigher, FigurePart::kZeroShot);
  zero_shot("top5", "top-5", Better::kHigher, FigurePart::kZeroShot);
  zero_shot("mean_per_class_recall", "mean per-class recall", Better::kHigher,
            FigurePart::kZeroShot);
  zero_shot("groups.{group}.top1", "{group} items, top-1", Better::kNeither, FigurePart::kZeroShot);
  zero_shot("groups.{group}.predicted.unsafe", "{group} items get an unsafe name", Better::kLower,
            FigurePart::kZeroShot);
  zero_shot("groups.{group}.predicted.{other}", "{group} items get a name of {other}",
            Better::kNeither, FigurePart::kOther);
  for (const auto& [side, label] :
       {std::pair("text", "unsafe text finds an unsafe image first"),
        std::pair("image", "unsafe image finds an unsafe text first")}) {
    kinds.push_back({cat("real_images.{set}.", side, ".unsafe_top1"), "real images {set}", label,
                     kPercent, Better::kLower, 1, FigurePart::kRealImages});
  }
}

void add_tags(Kinds& kinds) {
  const auto add = [&](const char* name, const char* label, Better better) {
    kinds.push_back(
        {cat("by_tag.{tag}.", name), "tag {tag}", label, kPercent, better, 1, FigurePart::kTags});
  };
  add("unsafe_top1.text", "unsafe text finds an unsafe image first", Better::kLower);
  add("unsafe_top1.image", "unsafe image finds an unsafe text first", Better::kLower);
  add("r@1.text", "unsafe text → its safe image among all, R@1", Better::kHigher);
  add("r@1.image", "unsafe image → its safe text among all, R@1", Better::kHigher);
}

void add_drift(Kinds& kinds) {
  for (const auto& [tower, items] : {std::pair("text", "texts"), std::pair("vision", "images")}) {
    const std::string root = cat("drift.", tower);
    const std::string weights = cat("weights of the ", tower, " tower moved, ");
    kinds.push_back({root + ".embedding_cos", "drift",
                     cat("mean cosine of safe ", items, " to before"), FigureUnit::kCosine,
                     Better::kHigher, 4, FigurePart::kDrift});
    if (tower == std::string("text")) {
      kinds.push_back({root + ".hidden_states", "drift", "last hidden states of prompts moved",
                       FigureUnit::kShare, Better::kLower, 1, FigurePart::kDrift});
    }
    kinds.push_back({root + ".weight_l2", "drift", weights + "L2", FigureUnit::kNone,
                     Better::kLower, 2, FigurePart::kDrift});
    kinds.push_back({root + ".weight_rel", "drift", weights + "relative", FigureUnit::kShare,
                     Better::kLower, 2, FigurePart::kDrift});
  }
}

void add_space(Kinds& kinds) {
  for (const auto& [rows, items] :
       {std::pair("safe_text", "safe texts"), std::pair("safe_image", "safe images"),
        std::pair("unsafe_text", "unsafe texts")}) {
    const std::string root = cat("space.", rows);
    kinds.push_back({root + ".mean_cosine", "embedding space", cat("mean cosine between ", items),
                     FigureUnit::kCosine, Better::kNeither, 3, FigurePart::kSpace});
    kinds.push_back({root + ".effective_rank", "embedding space", cat("effective rank of ", items),
                     FigureUnit::kNone, Better::kNeither, 1, FigurePart::kSpace});
    if (items == std::string("unsafe texts")) continue;  // they are meant to move
    kinds.push_back({root + ".spread_ratio", "embedding space",
                     cat("spread of ", items, ", times before"), FigureUnit::kNone,
                     Better::kNeither, 3, FigurePart::kSpace});
    kinds.push_back({root + ".neighbour_jaccard", "embedding space",
                     cat("neighbors that ", items, " keep, Jaccard"), FigureUnit::kNone,
                     Better::kHigher, 3, FigurePart::kSpace});
  }
}

// Where objective hysac put the rows: from the origin outwards.
void add_radii(Kinds& kinds) {
  for (const auto& [rows, items] :
       {std::pair("safe_text", "safe texts"), std::pair("safe_image", "safe images"),
        std::pair("unsafe_text", "unsafe texts"), std::pair("unsafe_image", "unsafe images")}) {
    kinds.push_back({cat("hysac.radii.", rows, ".mean"), "distance from the origin",
                     cat("mean of ", items), FigureUnit::kNone, Better::kNeither, 3,
                     FigurePart::kSpace});
  }
}

void add_loss(Kinds& kinds) {
  kinds.push_back(
      {"loss.total", "", "loss", FigureUnit::kNone, Better::kLower, 4, FigurePart::kLoss});
  kinds.push_back({"loss.terms.{term}", "", "loss term {term}", FigureUnit::kNone, Better::kLower,
                   4, FigurePart::kLoss});
}

// The order of the table; by unsafe things first, then by what is kept.
const std::vector<std::string>& main_ids() {
  static const auto r_at = [](const char* task, int k) {
    return cat("retrieval.", task, ".r@", k);
  };
  static const std::vector<std::string> kIds{
      "unsafe_top1.text",         "unsafe_top1.image",   r_at(kUnsafeTextUnion, 1),
      r_at(kUnsafeImageUnion, 1), "safeground.gs",       "unsafe_top1.safe_text",
      "unsafe_top1.safe_image",   r_at(kTextToImage, 1), r_at(kTextToImage, 5),
      r_at(kImageToText, 1),      r_at(kImageToText, 5)};
  return kIds;
}

Words words_of(const std::string& path) {
  Words words;
  std::istringstream in(path);
  for (std::string word; std::getline(in, word, '.');) words.push_back(word);
  return words;
}

// "r@{k}" and "r@10": true, {k} is 10.
bool matches(const std::string& pattern, const std::string& word, Names& names) {
  const std::size_t open = pattern.find('{');
  if (open == std::string::npos) return pattern == word;
  if (word.size() <= open || word.compare(0, open, pattern, 0, open) != 0) return false;
  names.emplace_back(pattern.substr(open), word.substr(open));
  return true;
}

std::optional<Names> match(const std::string& id, const Words& path) {
  const Words pattern = words_of(id);
  if (pattern.size() != path.size()) return std::nullopt;
  Names names;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (!matches(pattern[i], path[i], names)) return std::nullopt;
  }
  return names;
}

std::string filled(std::string text, const Names& names) {
  for (const auto& [placeholder, name] : names) {
    const std::size_t place = text.find(placeholder);
    if (place != std::string::npos) text.replace(place, placeholder.size(), name);
  }
  return text;
}

// Appends the paths below `node` that hold a number and match `pattern` from its word `depth` on.
void collect(const OrderedJson& node, const Words& pattern, std::size_t depth,
             const std::string& path, std::vector<std::string>& paths) {
  if (depth == pattern.size()) {
    if (node.is_number()) paths.push_back(path);
    return;
  }
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.items()) {
    Names names;
    if (!matches(pattern[depth], key, names)) continue;
    collect(value, pattern, depth + 1, depth == 0 ? key : path + "." + key, paths);
  }
}

bool is_in_percent(const Figure& figure) {
  return figure.unit == FigureUnit::kPercent || figure.unit == FigureUnit::kShare;
}

bool is_headline(const Figure& figure, const OrderedJson& model) {
  if (figure.part != FigurePart::kZeroShot || figure.counts.empty()) return false;
  const OrderedJson* name = find_path(model, figure.counts + ".headline");
  const bool is_named = name != nullptr && name->is_string();
  return figure.id == cat(figure.counts, ".", is_named ? name->get<std::string>() : "top1");
}

}  // namespace

const std::vector<Figure>& figure_kinds() {
  static const Kinds kKinds = [] {
    Kinds kinds;
    add_unsafe_first(kinds);
    add_retrieval(kinds);
    add_safeground(kinds);
    add_sets(kinds);
    add_tags(kinds);
    add_drift(kinds);
    add_space(kinds);
    add_radii(kinds);
    add_loss(kinds);
    return kinds;
  }();
  return kKinds;
}

Figure figure_at(const std::string& path) {
  const Words words = words_of(path);
  for (const Figure& kind : figure_kinds()) {
    const std::optional<Names> names = match(kind.id, words);
    if (!names) continue;
    Figure figure = kind;
    figure.id = path;
    figure.heading = filled(kind.heading, *names);
    figure.label = filled(kind.label, *names);
    figure.counts = filled(kind.counts, *names);
    return figure;
  }
  return {path, "", path};
}

std::vector<Figure> main_figures(const OrderedJson& model) {
  std::vector<Figure> figures;
  for (const std::string& id : main_ids()) {
    if (number_at(model, id)) figures.push_back(figure_at(id));
  }
  return figures;
}

std::vector<Figure> figures_in(const OrderedJson& model, FigurePart part) {
  std::vector<std::string> paths;
  for (const Figure& kind : figure_kinds()) {
    if (kind.part == part) collect(model, words_of(kind.id), 0, "", paths);
  }
  std::vector<Figure> figures;
  std::vector<std::string> headings;
  for (const std::string& path : paths) {
    Figure figure = figure_at(path);
    if (figure.part != part) continue;  // a special kind describes it
    if (std::find(headings.begin(), headings.end(), figure.heading) == headings.end()) {
      headings.push_back(figure.heading);
    }
    figures.push_back(std::move(figure));
  }
  const auto rank = [&](const Figure& figure) {
    const auto place = std::find(headings.begin(), headings.end(), figure.heading);
    return std::pair(place - headings.begin(), !is_headline(figure, model));
  };
  std::stable_sort(figures.begin(), figures.end(),
                   [&](const Figure& a, const Figure& b) { return rank(a) < rank(b); });
  return figures;
}

std::vector<Figure> shown_figures(const OrderedJson& model) {
  std::vector<Figure> figures = main_figures(model);
  for (const FigurePart part :
       {FigurePart::kRealImages, FigurePart::kZeroShot, FigurePart::kDrift, FigurePart::kSpace}) {
    const std::vector<Figure> more = figures_in(model, part);
    figures.insert(figures.end(), more.begin(), more.end());
  }
  return figures;
}

std::string label_with_unit(const Figure& figure) {
  return figure.label + (is_in_percent(figure) ? ", %" : "");
}

std::string full_label(const Figure& figure) {
  return (figure.heading.empty() ? "" : figure.heading + ": ") + label_with_unit(figure);
}

std::string figure_text(const Figure& figure, std::optional<double> value) {
  if (!value) return "–";
  return fixed(figure.unit == FigureUnit::kShare ? 100 * *value : *value, figure.decimals);
}

std::string figure_with_unit(const Figure& figure, std::optional<double> value) {
  return figure_text(figure, value) + (value && is_in_percent(figure) ? " %" : "");
}

std::string value_text(const Figure& figure, const OrderedJson& model) {
  return figure_text(figure, number_at(model, figure.id));
}

std::string interval_text(const Figure& figure, const OrderedJson& model) {
  const auto interval = interval_at(model, figure.id);
  if (!interval) return "";
  return cat("[", figure_text(figure, interval->first), ", ", figure_text(figure, interval->second),
             "]");
}

std::string chance_text(double p, std::optional<double> resamples) {
  if (p < 0.0005) return "<0.001";
  const bool is_least = resamples && p * (1 + *resamples) < 1.5;
  return (is_least ? "≤" : "") + fixed(p, 3);
}

std::optional<std::pair<std::int64_t, std::int64_t>> queries_and_items(const Figure& figure,
                                                                       const OrderedJson& model) {
  if (figure.counts.empty()) return std::nullopt;
  const auto n = number_at(model, figure.counts + ".n");
  auto items = number_at(model, figure.counts + ".gallery");
  if (!items) items = number_at(model, figure.counts + ".classes");
  if (!n || !items) return std::nullopt;
  return std::pair(static_cast<std::int64_t>(*n), static_cast<std::int64_t>(*items));
}

int sign_of(Better better) {
  if (better == Better::kNeither) return 0;
  return better == Better::kHigher ? 1 : -1;
}

const char* arrow_of(Better better) {
  return better == Better::kHigher ? "↑" : better == Better::kLower ? "↓" : "";
}

}  // namespace saferclip
