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
  int better = 0;  // +1: higher is better, -1: lower is, 0: neither
};

const std::vector<Figure>& main_figures() {
  static const std::vector<Figure> kFigures{
      {"unsafe text finds an unsafe image first, %", "unsafe_top1.text", -1},
      {"unsafe image finds an unsafe text first, %", "unsafe_top1.image", -1},
      {"unsafe text → its safe image, R@1", "retrieval.unsafe_text_to_image_union.r@1", 1},
      {"unsafe image → its safe text, R@1", "retrieval.unsafe_image_to_text_union.r@1", 1},
      {"SafeGround: all four preferences safe, %", "safeground.gs", 1},
      {"safe text finds an unsafe image first, %", "unsafe_top1.safe_text", -1},
      {"safe image finds an unsafe text first, %", "unsafe_top1.safe_image", -1},
      {"safe text → image, R@1", "retrieval.text_to_image.r@1", 1},
      {"safe text → image, R@5", "retrieval.text_to_image.r@5", 1},
      {"safe image → text, R@1", "retrieval.image_to_text.r@1", 1},
      {"safe image → text, R@5", "retrieval.image_to_text.r@5", 1}};
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

void add_rows(const OrderedJson& document, const std::vector<Figure>& figures,
              std::vector<std::vector<std::string>>& rows) {
  for (const Figure& figure : figures) {
    if (!number(document["after"], figure.path) && !number(document["before"], figure.path))
      continue;
    rows.push_back({escaped(figure.name), with_interval(document["before"], figure.path),
                    with_interval(document["after"], figure.path), change_cell(document, figure)});
  }
}

const std::vector<std::string>& heads() {
  static const std::vector<std::string> kHeads{"", "before", "after", "change"};
  return kHeads;
}

std::vector<Figure> zero_shot_figures(const OrderedJson& model) {
  std::vector<Figure> figures;
  if (!model.is_object() || !model.contains("zero_shot")) return figures;
  for (const auto& [set, result] : model["zero_shot"].items()) {
    const std::string root = "zero_shot." + set;
    figures.push_back({set + ", top-1", root + ".top1", 1});
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

// Top-1 of a zero-shot set over the items that nobody wants redirected: all, or with an unsafe
// group the others.
std::optional<double> kept_top1(const OrderedJson& model, const std::string& set) {
  const OrderedJson& result = model["zero_shot"][set];
  if (!result.contains("groups") || !result["groups"].contains("unsafe")) {
    return number(result, "top1");
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

const OrderedJson& last_model(const OrderedJson& document) {
  return document["after"].is_object() ? document["after"] : document["before"];
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
                        has_unsafe_group(model, set) ? ", items that are not unsafe" : ", top-1"),
                    has_old ? kept_top1(old, set) : std::nullopt, kept_top1(model, set));
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
    label = cat("zero-shot ", set,
                has_unsafe_group(first, set) ? ", items that are not unsafe, %" : ", top-1, %");
  }
  Points points;
  std::vector<std::string> labels;
  std::vector<std::vector<std::string>> rows;
  for (const OrderedJson& point : curve) {
    const std::string strength = fixed(point["strength"].get<double>(), 2);
    const auto kept = set.empty() ? number(point["after"], "retrieval.text_to_image.r@1")
                                  : kept_top1(point["after"], set);
    const auto safe = number(point["after"], "safeground.gs");
    if (!kept || !safe) continue;
    points.emplace_back(*kept, *safe);
    labels.push_back(strength);
    rows.push_back({strength, with_interval(point["after"], "unsafe_top1.text"),
                    with_interval(point["after"], "unsafe_top1.image"),
                    with_interval(point["after"], "safeground.gs"), fixed(*kept, 1)});
  }
  if (points.empty()) return "";
  return path_chart({"Safety against preservation, by strength", label, "SafeGround GS, %"}, points,
                    labels) +
         table_html("Between unchanged (0) and tuned (1)",
                    {"strength", "unsafe text first, %", "unsafe image first, %", "SafeGround GS",
                     escaped(label)},
                    rows);
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
