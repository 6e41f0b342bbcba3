#include "report/results.h"

#include <optional>

#include "report/charts.h"
#include "report/html.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

struct Figure {
  std::string name;
  std::string path;
  int better = 0;           // +1: higher is better, -1: lower is, 0: neither
  std::string counts = {};  // the object that holds n, and gallery or classes; empty: none is told
};

constexpr const char* kUnsafeText = "retrieval.unsafe_text_to_image_union";
constexpr const char* kUnsafeImage = "retrieval.unsafe_image_to_text_union";
constexpr const char* kText = "retrieval.text_to_image";
constexpr const char* kImage = "retrieval.image_to_text";

const std::vector<Figure>& main_figures() {
  static const std::vector<Figure> kFigures{
      {"unsafe text finds an unsafe image first, %", "unsafe_top1.text", -1, kUnsafeText},
      {"unsafe image finds an unsafe text first, %", "unsafe_top1.image", -1, kUnsafeImage},
      {"unsafe text → its safe image, R@1", cat(kUnsafeText, ".r@1"), 1, kUnsafeText},
      {"unsafe image → its safe text, R@1", cat(kUnsafeImage, ".r@1"), 1, kUnsafeImage},
      {"SafeGround: all four preferences safe, %", "safeground.gs", 1},
      {"safe text finds an unsafe image first, %", "unsafe_top1.safe_text", -1,
       "retrieval.safe_text_to_image_union"},
      {"safe image finds an unsafe text first, %", "unsafe_top1.safe_image", -1,
       "retrieval.safe_image_to_text_union"},
      {"safe text → image, R@1", cat(kText, ".r@1"), 1, kText},
      {"safe text → image, R@5", cat(kText, ".r@5"), 1, kText},
      {"safe image → text, R@1", cat(kImage, ".r@1"), 1, kImage},
      {"safe image → text, R@5", cat(kImage, ".r@5"), 1, kImage}};
  return kFigures;
}

std::optional<double> number(const OrderedJson& json, const std::string& path) {
  const OrderedJson* node = &json;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t dot = std::min(path.find('.', begin), path.size());
    const std::string key = path.substr(begin, dot - begin);
    if (!node->is_object() || !node->contains(key)) return std::nullopt;
    node = &(*node)[key];
    begin = dot + 1;
  }
  return node->is_number() ? std::optional<double>(node->get<double>()) : std::nullopt;
}

const std::vector<Figure>& strength_figures() {
  static const std::vector<Figure> kFigures{{"unsafe text first, %", "unsafe_top1.text"},
                                            {"unsafe image first, %", "unsafe_top1.image"},
                                            {"SafeGround GS", "safeground.gs"},
                                            {"safe text → image, R@1", cat(kText, ".r@1")},
                                            {"safe image → text, R@1", cat(kImage, ".r@1")}};
  return kFigures;
}

std::string with_interval(const OrderedJson& model, const std::string& path) {
  const auto value = number(model, path);
  if (!value) return "–";
  std::string text = fixed(*value, 1);
  if (model.contains("intervals") && model["intervals"].contains(path)) {
    const OrderedJson& interval = model["intervals"][path];
    text += cat(" <small>[", fixed(interval[0].get<double>(), 1), ", ",
                fixed(interval[1].get<double>(), 1), "]</small>");
  }
  return text;
}

std::string change_cell(const OrderedJson& document, const Figure& figure) {
  if (!document.contains("change") || !document["change"].contains(figure.path)) return "";
  const OrderedJson& change = document["change"][figure.path];
  const double value = change["difference"].get<double>();
  const bool is_sure = change["low"].get<double>() > 0 || change["high"].get<double>() < 0;
  const double gain = value * figure.better;
  const char* css = !is_sure || gain == 0 ? "" : gain > 0 ? "good" : "bad";
  return cat("<span class=\"", css, "\">", value > 0 ? "+" : "", fixed(value, 1),
             "</span> <small>[", fixed(change["low"].get<double>(), 1), ", ",
             fixed(change["high"].get<double>(), 1), "] p ", fixed(change["p"].get<double>(), 3),
             "</small>");
}

const OrderedJson& last_model(const OrderedJson& document) {
  return document["after"].is_object() ? document["after"] : document["before"];
}

// "25,010 queries in 5,000 items": what a figure is a share of.
std::string counts_of(const OrderedJson& model, const Figure& figure) {
  const auto n = number(model, figure.counts + ".n");
  auto items = number(model, figure.counts + ".gallery");
  const bool has_classes = !items;
  if (has_classes) items = number(model, figure.counts + ".classes");
  if (figure.counts.empty() || !n || !items) return "";
  return cat(" <small>", with_commas(static_cast<std::int64_t>(*n)), has_classes ? " images" : "",
             " in ", with_commas(static_cast<std::int64_t>(*items)), has_classes ? " classes" : "",
             "</small>");
}

void add_rows(const OrderedJson& document, const std::vector<Figure>& figures,
              std::vector<std::vector<std::string>>& rows) {
  for (const Figure& figure : figures) {
    if (!number(document["after"], figure.path) && !number(document["before"], figure.path))
      continue;
    rows.push_back({escaped(figure.name) + counts_of(last_model(document), figure),
                    with_interval(document["before"], figure.path),
                    with_interval(document["after"], figure.path), change_cell(document, figure)});
  }
}

const std::vector<std::string>& heads() {
  static const std::vector<std::string> kHeads{"", "before", "after", "change"};
  return kHeads;
}

// The figure that stands for a zero-shot set.
std::string headline_of(const OrderedJson& result) { return result.value("headline", "top1"); }

std::string figure_name(const std::string& figure) {
  return figure == "top1" ? "top-1" : figure == "top5" ? "top-5" : "mean per-class recall";
}

std::vector<Figure> zero_shot_figures(const OrderedJson& model) {
  std::vector<Figure> figures;
  if (!model.is_object() || !model.contains("zero_shot")) return figures;
  for (const auto& [set, result] : model["zero_shot"].items()) {
    const std::string root = "zero_shot." + set;
    const std::string headline = headline_of(result);
    figures.push_back({cat(set, ", ", figure_name(headline)), cat(root, ".", headline), 1, root});
    for (const char* figure : {"top1", "top5", "mean_per_class_recall"}) {
      if (figure == headline) continue;
      figures.push_back({cat(set, ", ", figure_name(figure)), cat(root, ".", figure), 1});
    }
    if (!result.contains("groups")) continue;
    for (const auto& [group, values] : result["groups"].items()) {
      figures.push_back(
          {cat(set, ", of ", group, " items"), cat(root, ".groups.", group, ".top1"), 0});
      if (values["predicted"].contains("unsafe")) {
        figures.push_back({cat(set, ", ", group, " items named by an unsafe name, %"),
                           cat(root, ".groups.", group, ".predicted.unsafe"), -1});
      }
    }
  }
  return figures;
}

std::vector<Figure> real_image_figures(const OrderedJson& model) {
  std::vector<Figure> figures;
  if (!model.is_object() || !model.contains("real_images")) return figures;
  for (const auto& [set, result] : model["real_images"].items()) {
    figures.push_back({set + ": unsafe text finds a real unsafe image, %",
                       "real_images." + set + ".text.unsafe_top1", -1});
    figures.push_back({set + ": real unsafe image finds an unsafe text, %",
                       "real_images." + set + ".image.unsafe_top1", -1});
  }
  return figures;
}

std::string tile(const std::string& name, std::optional<double> before,
                 std::optional<double> after) {
  if (!after) return "";
  const std::string from = before ? fixed(*before, 1) + " → " : "";
  return cat("<div class=\"tile\"><b>", from, fixed(*after, 1), " %</b><span>", escaped(name),
             "</span></div>");
}

// What a zero-shot set says of the items that nobody wants redirected: its headline figure, or with
// an unsafe group top-1 over the others.
std::optional<double> kept_figure(const OrderedJson& model, const std::string& set) {
  const OrderedJson& result = model["zero_shot"][set];
  if (!result.contains("groups") || !result["groups"].contains("unsafe")) {
    return number(result, headline_of(result));
  }
  double hits = 0, items = 0;
  for (const auto& [group, values] : result["groups"].items()) {
    if (group == "unsafe") continue;
    hits += values["n"].get<double>() * values["top1"].get<double>();
    items += values["n"].get<double>();
  }
  return items > 0 ? std::optional<double>(hits / items) : std::nullopt;
}

bool has_unsafe_group(const OrderedJson& model, const std::string& set) {
  const OrderedJson& result = model["zero_shot"][set];
  return result.contains("groups") && result["groups"].contains("unsafe");
}

std::string tile(const std::string& name, const OrderedJson& document, const std::string& path) {
  return tile(name, number(document["before"], path), number(document["after"], path));
}

}  // namespace

std::string headline_html(const OrderedJson& document) {
  std::string tiles =
      tile("unsafe texts that find an unsafe image first", document, "unsafe_top1.text") +
      tile("unsafe images that find an unsafe text first", document, "unsafe_top1.image") +
      tile("rows with all four SafeGround preferences safe", document, "safeground.gs") +
      tile("safe texts that find their image first", document, "retrieval.text_to_image.r@1");
  const OrderedJson& model = last_model(document);
  if (model.is_object() && model.contains("zero_shot")) {
    for (const auto& [set, result] : model["zero_shot"].items()) {
      const OrderedJson& old = document["before"];
      const bool has_old = old.is_object() && old.contains("zero_shot");
      tiles += tile(cat("zero-shot ", set,
                        has_unsafe_group(model, set) ? std::string(", items that are not unsafe")
                                                     : ", " + figure_name(headline_of(result))),
                    has_old ? kept_figure(old, set) : std::nullopt, kept_figure(model, set));
    }
  }
  return tiles.empty() ? "" : "<div class=\"tiles\">" + tiles + "</div>\n";
}

std::string result_tables_html(const OrderedJson& document) {
  const std::string split = document["split"].get<std::string>();
  std::vector<std::vector<std::string>> rows;
  add_rows(document, main_figures(), rows);
  std::string out = table_html(
      cat("Split ", split, ", ", document["n"].get<std::int64_t>(), " rows, 95 % intervals"),
      heads(), rows);
  rows.clear();
  add_rows(document, zero_shot_figures(last_model(document)), rows);
  if (!rows.empty()) out += table_html("Zero-shot classification", heads(), rows);
  rows.clear();
  add_rows(document, real_image_figures(last_model(document)), rows);
  if (!rows.empty()) out += table_html("Real images", heads(), rows);
  rows.clear();
  std::vector<Figure> ground;
  for (const char* name : {"pt_s", "pt_u", "pv_s", "pv_u", "txt", "img", "ps", "pu", "gs"}) {
    ground.push_back({name, cat("safeground.", name), 1});
  }
  add_rows(document, ground, rows);
  if (rows.empty()) return out;
  return out + "<details><summary>SafeGround in full</summary>" +
         table_html("Share of rows whose preference is safe, %", heads(), rows) + "</details>\n";
}

std::string strengths_html(const OrderedJson& document) {
  if (!document.contains("strengths")) return "";
  const OrderedJson& curve = document["strengths"];
  std::string set;
  std::string label = "safe text → image, R@1";
  const OrderedJson& first = curve[0]["after"];
  if (first.contains("zero_shot") && !first["zero_shot"].empty()) {
    set = first["zero_shot"].begin().key();
    label = cat("zero-shot ", set, ", ",
                has_unsafe_group(first, set) ? "items that are not unsafe"
                                             : figure_name(headline_of(first["zero_shot"][set])),
                ", %");
  }
  std::vector<Figure> figures;
  for (const Figure& figure : strength_figures()) {
    if (number(first, figure.path)) figures.push_back(figure);
  }
  std::vector<std::string> columns{"strength"}, labels;
  for (const Figure& figure : figures) columns.push_back(escaped(figure.name));
  if (!set.empty()) columns.push_back(escaped(label));
  Points points;
  std::vector<std::vector<std::string>> rows;
  for (const OrderedJson& point : curve) {
    const OrderedJson& after = point["after"];
    labels.push_back(fixed(point["strength"].get<double>(), 2));
    rows.push_back({labels.back()});
    for (const Figure& figure : figures) rows.back().push_back(with_interval(after, figure.path));
    const auto kept = set.empty() ? number(after, cat(kText, ".r@1")) : kept_figure(after, set);
    if (!set.empty()) rows.back().push_back(kept ? fixed(*kept, 1) : "–");
    const auto safe = number(after, "safeground.gs");
    if (kept && safe) points.emplace_back(*kept, *safe);
  }
  // A split without an unsafe half has no safety to draw.
  const bool is_whole = points.size() == rows.size();
  return (is_whole
              ? path_chart({"Safety against preservation, by strength", label, "SafeGround GS, %"},
                           points, labels)
              : "") +
         table_html("Between unchanged (0) and tuned (1)", columns, rows);
}

std::string tags_html(const OrderedJson& document) {
  const OrderedJson& model = last_model(document);
  if (!model.is_object() || !model.contains("by_tag")) return "";
  std::vector<BarRow> bars;
  for (const auto& [tag, result] : model["by_tag"].items()) {
    const std::string path = "by_tag." + tag + ".unsafe_top1.text";
    bars.push_back({cat(tag, " (", result["n"].get<std::int64_t>(), ")"),
                    number(document["before"], path).value_or(0),
                    number(document["after"], path).value_or(0)});
  }
  return bar_chart(
      {"Unsafe texts that find an unsafe image first, by tag", "% of the tag's rows", ""}, bars);
}

std::string drift_html(const OrderedJson& document) {
  std::string out;
  const OrderedJson& after = document["after"];
  if (after.is_object() && after.contains("drift") && after["drift"].is_object()) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [tower, d] : after["drift"].items()) {
      rows.push_back({tower, fixed(d["embedding_cos"].get<double>(), 4),
                      fixed(d["weight_l2"].get<double>(), 3),
                      fixed(100 * d["weight_rel"].get<double>(), 3) + " %"});
    }
    out += table_html(
        "How far the towers moved",
        {"tower", "mean cosine of safe items to before", "weights, L2", "weights, relative"}, rows);
  }
  std::vector<std::vector<std::string>> rows;
  for (const char* side : {"before", "after"}) {
    if (!document[side].is_object() || !document[side].contains("space")) continue;
    for (const auto& [name, space] : document[side]["space"].items()) {
      rows.push_back({cat(side, ", ", name), fixed(space["mean_cosine"].get<double>(), 3),
                      fixed(space["effective_rank"].get<double>(), 1)});
    }
  }
  if (rows.empty()) return out;
  return out + table_html("The embedding space: a collapsed model has cosine 1 and rank 1",
                          {"embeddings", "mean cosine between rows", "effective rank"}, rows);
}

}  // namespace saferclip
