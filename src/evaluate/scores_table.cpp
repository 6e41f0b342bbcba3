#include <sstream>

#include "saferclip/evaluate/evaluator.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kNameWidth = 50;
constexpr std::size_t kNumberWidth = 7;
constexpr std::size_t kIntervalWidth = 16;

struct Line {
  std::string name;
  std::string path;
  std::string counts = {};  // the object that holds n and gallery, or n and classes; empty: none
};

// "–" is three bytes and one column.
std::size_t columns_of(const std::string& text) {
  std::size_t columns = 0;
  for (const char byte : text) columns += (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  return columns;
}

std::string right(const std::string& text, std::size_t width) {
  const std::size_t columns = columns_of(text);
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string left(const std::string& text, std::size_t width) {
  const std::size_t columns = columns_of(text);
  return columns > width ? text.substr(0, width) : text + std::string(width - columns, ' ');
}

std::string number(const OrderedJson& model, const std::string& path) {
  const auto value = number_at(model, path);
  return value ? fixed(*value, 1) : "–";
}

std::string interval(const OrderedJson& model, const std::string& path) {
  if (!model.is_object() || !model.contains("intervals")) return "";
  const auto found = model["intervals"].find(path);
  if (found == model["intervals"].end()) return "";
  return cat("[", fixed((*found)[0].get<double>(), 1), ", ", fixed((*found)[1].get<double>(), 1),
             "]");
}

// "25,010 in 5,000": queries and what they choose from.
std::string counts_text(const OrderedJson& model, const Line& line) {
  if (line.counts.empty()) return "";
  const auto n = number_at(model, line.counts + ".n");
  auto items = number_at(model, line.counts + ".gallery");
  if (!items) items = number_at(model, line.counts + ".classes");
  if (!n || !items) return "";
  return cat(static_cast<std::int64_t>(*n), " in ", static_cast<std::int64_t>(*items));
}

// The set's headline figure, then the others.
void add_zero_shot(const OrderedJson& model, std::vector<Line>& lines) {
  if (!model.contains("zero_shot")) return;
  static const std::vector<std::pair<const char*, const char*>> kFigures{
      {"top1", "top-1"}, {"top5", "top-5"}, {"mean_per_class_recall", "mean per-class recall"}};
  for (const auto& [set, result] : model["zero_shot"].items()) {
    const std::string root = "zero_shot." + set;
    const std::string headline = result.value("headline", "top1");
    for (const bool is_headline : {true, false}) {
      for (const auto& [figure, name] : kFigures) {
        if ((figure == headline) != is_headline) continue;
        lines.push_back({cat(is_headline ? cat("zero-shot ", set, ", ") : std::string("  "), name),
                         cat(root, ".", figure), is_headline ? root : ""});
      }
    }
    if (!result.contains("groups")) continue;
    for (const auto& [group, values] : result["groups"].items()) {
      const std::string path = cat(root, ".groups.", group);
      lines.push_back({cat("  of ", group, " items, top-1"), path + ".top1"});
      if (values["predicted"].contains("unsafe")) {
        lines.push_back({cat("  of ", group, " items, named by an unsafe name (%)"),
                         path + ".predicted.unsafe"});
      }
    }
  }
}

std::vector<Line> table_lines(const OrderedJson& document) {
  const std::string union_text = cat("retrieval.", kUnsafeTextUnion),
                    union_image = cat("retrieval.", kUnsafeImageUnion);
  std::vector<Line> lines{
      {"unsafe text finds an unsafe image first (%)", "unsafe_top1.text", union_text},
      {"unsafe image finds an unsafe text first (%)", "unsafe_top1.image", union_image},
      {"unsafe text -> its safe image, union gallery, R@1", union_text + ".r@1", union_text},
      {"unsafe image -> its safe text, union gallery, R@1", union_image + ".r@1", union_image},
      {"SafeGround: all four preferences safe (%)", "safeground.gs"},
      {"safe text finds an unsafe image first (%)", "unsafe_top1.safe_text",
       cat("retrieval.", kSafeTextUnion)},
      {"safe text -> image, R@1", "retrieval.text_to_image.r@1", "retrieval.text_to_image"},
      {"safe image -> text, R@1", "retrieval.image_to_text.r@1", "retrieval.image_to_text"}};
  const OrderedJson& model = document["after"].is_null() ? document["before"] : document["after"];
  if (!model.is_object()) return lines;
  if (model.contains("real_images")) {
    for (const auto& [set, result] : model["real_images"].items()) {
      const std::string root = "real_images." + set;
      lines.push_back(
          {cat(set, ": unsafe text finds a real unsafe image (%)"), root + ".text.unsafe_top1"});
      lines.push_back(
          {cat(set, ": real unsafe image finds an unsafe text (%)"), root + ".image.unsafe_top1"});
    }
  }
  add_zero_shot(model, lines);
  return lines;
}

// How a model stands as a whole: a collapsed one has a mean cosine near 1 and a rank near 1.
std::string space_lines(const OrderedJson& document) {
  std::string text;
  for (const char* side : {"before", "after"}) {
    const OrderedJson& model = document[side];
    if (!model.is_object() || !model.contains("space")) continue;
    text += cat("embedding space ", side, ": ");
    std::vector<std::string> parts;
    for (const auto& [name, space] : model["space"].items()) {
      parts.push_back(cat(name, " ", fixed(space["mean_cosine"].get<double>(), 2), " / ",
                          fixed(space["effective_rank"].get<double>(), 0)));
    }
    text += join(parts, ", ") + "\n";
  }
  return text.empty() ? "" : text + "  (mean cosine between rows / effective rank)\n";
}

std::string drift_lines(const OrderedJson& after) {
  std::string text;
  if (!after.is_object() || !after.contains("drift") || !after["drift"].is_object()) return text;
  for (const auto& [tower, d] : after["drift"].items()) {
    text += cat("drift of ", tower, ": embeddings of safe items keep cosine ",
                fixed(d["embedding_cos"].get<double>(), 3), ", weights moved by ",
                fixed(100 * d["weight_rel"].get<double>(), 2), " %\n");
  }
  return text;
}

std::string strengths_table(const OrderedJson& curve, const std::vector<Line>& lines) {
  std::ostringstream out;
  std::string head = left("between unchanged (0) and tuned (1)", 46);
  for (const OrderedJson& point : curve)
    head += right(fixed(point["strength"].get<double>(), 2), 8);
  out << "\n" << head << "\n";
  for (const Line& line : lines) {
    std::string row = left(line.name, 46);
    bool has_value = false;
    for (const OrderedJson& point : curve) {
      const std::string value = number(point["after"], line.path);
      has_value = has_value || value != "–";
      row += right(value, 8);
    }
    if (has_value) out << row << "\n";
  }
  return out.str();
}

std::string against_table(const OrderedJson& against, const OrderedJson& after,
                          const std::vector<Line>& lines) {
  std::ostringstream out;
  out << "\nagainst " << against["run"].get<std::string>() << " (step " << against["step"]
      << "), paired\n"
      << left("", 50) << right("its", 8) << right("this", 8) << "  difference, 95 %          p\n";
  for (const Line& line : lines) {
    const auto found = against["difference"].find(line.path);
    if (found == against["difference"].end()) continue;
    const OrderedJson& d = *found;
    const std::string change =
        cat(fixed(d["difference"].get<double>(), 1), " [", fixed(d["low"].get<double>(), 1), ", ",
            fixed(d["high"].get<double>(), 1), "]");
    out << left(line.name, 50) << right(number(against["after"], line.path), 8)
        << right(number(after, line.path), 8) << right(change, 22)
        << right(fixed(d["p"].get<double>(), 3), 9) << "\n";
  }
  return out.str();
}

}  // namespace

std::string evaluation_table(const OrderedJson& document) {
  std::ostringstream out;
  out << "split " << document["split"].get<std::string>() << ", " << document["n"] << " rows\n"
      << left("", kNameWidth) << right("before", kNumberWidth) << right("after", kNumberWidth)
      << "  " << left("95 % interval", kIntervalWidth) << "queries in items\n";
  const std::vector<Line> lines = table_lines(document);
  for (const Line& line : lines) {
    const std::string before = number(document["before"], line.path);
    const std::string after = number(document["after"], line.path);
    if (before == "–" && after == "–") continue;
    const OrderedJson& last = document[after == "–" ? "before" : "after"];
    std::string row = left(line.name, kNameWidth) + right(before, kNumberWidth) +
                      right(after, kNumberWidth) + "  " +
                      left(interval(last, line.path), kIntervalWidth) + counts_text(last, line);
    row.erase(row.find_last_not_of(' ') + 1);
    out << row << "\n";
  }
  out << space_lines(document) << drift_lines(document["after"]);
  if (document.contains("strengths")) out << strengths_table(document["strengths"], lines);
  if (document.contains("against")) {
    out << against_table(document["against"], document["after"], lines);
  }
  return out.str();
}

}  // namespace saferclip
