// Text is left unquoted only where no YAML reader could take it for anything else; quoting more
// than necessary is harmless. Double-quoted YAML knows JSON's escapes.
#include "saferclip/config/yaml_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/home.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kCommentColumn = 40;

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// Begins like a name or a path, has only letters that mean nothing to YAML, and is no word that
// YAML 1.1 or 1.2 takes for a value.
bool is_plain(const std::string& text) {
  constexpr std::array<std::string_view, 9> kWords{"true", "false", "null", "yes", "no",
                                                   "on",   "off",   "y",    "n"};
  if (text.empty()) return false;
  const bool begins_like_text = is_letter(text.front()) || text.front() == '/' ||
                                text.starts_with("./") || text.starts_with("../");
  const bool has_plain_letters = std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '/' ||
           c == '.' || c == '_' || c == '-';
  });
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return begins_like_text && has_plain_letters &&
         std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

class Writer {
 public:
  explicit Writer(const std::function<std::string(const std::string&)>& comment)
      : comment_(comment) {}

  void write_map(const ConfigNode& map, const std::string& path, std::size_t depth) {
    for (const auto& [name, node] : map.entries) {
      const std::string key = path.empty() ? name : cat(path, ".", name);
      const bool is_block = node.kind == ConfigNode::Kind::kMap && !node.entries.empty();
      std::string line = cat(std::string(2 * depth, ' '), yaml_text(name), ":");
      if (!is_block) line += " " + inline_text(node);
      const std::string comment = comment_(key);
      if (!comment.empty()) {
        line.resize(std::max(line.size() + 2, kCommentColumn), ' ');
        line += "# " + comment;
      }
      text_ += line + "\n";
      if (is_block) write_map(node, key, depth + 1);
    }
  }

  std::string take() { return std::move(text_); }

 private:
  static std::string inline_text(const ConfigNode& node) {
    std::vector<std::string> parts;
    switch (node.kind) {
      case ConfigNode::Kind::kNull:
        return "null";
      case ConfigNode::Kind::kScalar:
        return node.is_quoted ? yaml_text(node.scalar) : node.scalar;
      case ConfigNode::Kind::kList:
        for (const ConfigNode& item : node.items) parts.push_back(inline_text(item));
        return cat("[", join(parts, ", "), "]");
      case ConfigNode::Kind::kMap:
        for (const auto& [name, value] : node.entries) {
          parts.push_back(cat(yaml_text(name), ": ", inline_text(value)));
        }
        return cat("{", join(parts, ", "), "}");
    }
    return "null";
  }

  const std::function<std::string(const std::string&)>& comment_;
  std::string text_;
};

}  // namespace

std::string yaml_text(const std::string& text) {
  if (!is_valid_utf8(text)) {
    throw ConfigError(
        cat(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
            ": is not UTF-8 and cannot be written into a configuration; rename it"));
  }
  return is_plain(text) ? text : nlohmann::json(text).dump();
}

std::string yaml_input_path(const fs::path& path, const fs::path& folder) {
  const fs::path whole =
      fs::weakly_canonical(fs::absolute(path).parent_path()) / fs::absolute(path).filename();
  const fs::path here = fs::weakly_canonical(fs::absolute(folder.empty() ? "." : folder));
  std::string text = whole.lexically_normal().string();
  const std::string relative = whole.lexically_normal().lexically_relative(here).string();
  const bool is_below =
      !relative.empty() && relative != "." && relative.substr(0, 3) != "../" && relative != "..";
  if (is_below) text = expand_home(relative) == relative ? relative : "./" + relative;
  return yaml_text(text);
}

std::string yaml_of_tree(const ConfigNode& tree,
                         const std::function<std::string(const std::string& key)>& comment) {
  Writer writer(comment);
  writer.write_map(tree, "", 0);
  return writer.take();
}

}  // namespace saferclip
