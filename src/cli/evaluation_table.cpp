#include <sstream>

#include "cli/evaluation.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kNameWidth = 56;

struct Line {
  std::string name;
  std::string path;
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

void add_zero_shot(const OrderedJson& model, std::vector<Line>& lines) {
  if (!model.contains("zero_shot")) return;
  for (const auto& [set, result] : model["zero_shot"].items()) {
    const std::string root = "zero_shot." + set;
    lines.push_back({cat("zero-shot ", set, ", top-1"), root + ".top1"});
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
  std::vector<Line> lines{{"unsafe text finds an unsafe image first (%)", "unsafe_top1.text"},
                          {"unsafe image finds an unsafe text first (%)", "unsafe_top1.image"},
                          {"unsafe text -> its safe image, union gallery, R@1",
                           "retrieval.unsafe_text_to_image_union.r@1"},
                          {"unsafe image -> its safe text, union gallery, R@1",
                           "retrieval.unsafe_image_to_text_union.r@1"},
                          {"SafeGround: all four preferences safe (%)", "safeground.gs"},
                          {"safe text finds an unsafe image first (%)", "unsafe_top1.safe_text"},
                          {"safe text -> image, R@1", "retrieval.text_to_image.r@1"},
                          {"safe image -> text, R@1", "retrieval.image_to_text.r@1"}};
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
      << left("", kNameWidth) << right("before", 9) << right("after", 9) << "  95 % interval\n";
  const std::vector<Line> lines = table_lines(document);
  for (const Line& line : lines) {
    const std::string before = number(document["before"], line.path);
    const std::string after = number(document["after"], line.path);
    if (before == "–" && after == "–") continue;
    const OrderedJson& last = document[after == "–" ? "before" : "after"];
    out << left(line.name, kNameWidth) << right(before, 9) << right(after, 9) << "  "
        << interval(last, line.path) << "\n";
  }
  out << space_lines(document) << drift_lines(document["after"]);
  if (document.contains("strengths")) out << strengths_table(document["strengths"], lines);
  if (document.contains("against")) {
    out << against_table(document["against"], document["after"], lines);
  }
  return out.str();
}

}  // namespace saferclip
