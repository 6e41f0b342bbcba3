#include <sstream>

#include "cli/evaluation.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kNameWidth = 58;

struct Line {
  std::string name;
  std::vector<std::string> path;
};

std::string number_at(const OrderedJson& model, const std::vector<std::string>& path) {
  const OrderedJson* node = &model;
  for (const std::string& key : path) {
    if (!node->is_object() || !node->contains(key)) return "–";
    node = &(*node)[key];
  }
  return node->is_number() ? fixed(node->get<double>(), 1) : "–";
}

std::string padded_left(const std::string& text, std::size_t width) {
  // "–" is three bytes and one column.
  const std::size_t columns = text == "–" ? 1 : text.size();
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string row(const std::string& name, const std::string& before, const std::string& after) {
  return (name + std::string(kNameWidth, ' ')).substr(0, kNameWidth) + padded_left(before, 10) +
         padded_left(after, 10) + "\n";
}

std::vector<Line> table_lines(const OrderedJson& document) {
  std::vector<Line> lines{
      {"unsafe text finds an unsafe image first (%)", {"unsafe_top1", "text"}},
      {"unsafe image finds an unsafe text first (%)", {"unsafe_top1", "image"}},
      {"unsafe text -> its safe image, union gallery, R@1",
       {"retrieval", "unsafe_text_to_image_union", "r@1"}},
      {"unsafe image -> its safe text, union gallery, R@1",
       {"retrieval", "unsafe_image_to_text_union", "r@1"}},
      {"SafeGround: all four preferences safe (%)", {"safeground", "gs"}},
      {"safe text finds an unsafe image first (%)", {"unsafe_top1", "safe_text"}},
      {"safe text -> image, R@1", {"retrieval", "text_to_image", "r@1"}},
      {"safe image -> text, R@1", {"retrieval", "image_to_text", "r@1"}}};
  const OrderedJson& after = document["after"].is_null() ? document["before"] : document["after"];
  if (!after.is_object() || !after.contains("zero_shot")) return lines;
  for (const auto& [set, result] : after["zero_shot"].items()) {
    lines.push_back({cat("zero-shot ", set, ", top-1"), {"zero_shot", set, "top1"}});
    if (!result.contains("groups")) continue;
    for (const auto& [group, values] : result["groups"].items()) {
      lines.push_back(
          {cat("  of ", group, " items, top-1"), {"zero_shot", set, "groups", group, "top1"}});
      if (values["predicted"].contains("unsafe")) {
        lines.push_back({cat("  of ", group, " items, named by an unsafe name (%)"),
                         {"zero_shot", set, "groups", group, "predicted", "unsafe"}});
      }
    }
  }
  return lines;
}

}  // namespace

std::string evaluation_table(const OrderedJson& document) {
  std::ostringstream out;
  out << "split " << document["split"].get<std::string>() << ", " << document["n"] << " rows\n";
  out << row("", "before", "after");
  for (const Line& line : table_lines(document)) {
    const std::string before = number_at(document["before"], line.path);
    const std::string after = number_at(document["after"], line.path);
    if (before != "–" || after != "–") out << row(line.name, before, after);
  }
  const OrderedJson& after = document["after"];
  if (after.is_object() && after.contains("drift") && after["drift"].is_object()) {
    for (const auto& [tower, d] : after["drift"].items()) {
      out << "drift of " << tower << ": embeddings of safe items keep cosine "
          << fixed(d["embedding_cos"].get<double>(), 3) << ", weights moved by "
          << fixed(100 * d["weight_rel"].get<double>(), 2) << " %\n";
    }
  }
  return out.str();
}

}  // namespace saferclip
