// A template written elsewhere must not depend on the file that it extends, so the merged tree is
// written. yaml-cpp drops comments; those that follow a key are found again line by line, which
// suffices for the block style of the shipped files.
#include "saferclip/run/templates.h"

#include <algorithm>
#include <sstream>

#include "saferclip/config/run_config.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The comment at the top of a file, without the lines that show how the file itself is run.
std::vector<std::string> head_of(const std::string& yaml) {
  std::vector<std::string> head;
  for (const std::string& line : lines_of(yaml)) {
    if (!line.starts_with("#")) break;
    if (!line.starts_with("#   saferclip ")) head.push_back(line);
  }
  return head;
}

// "saferclip-vit-l14.yaml" and its like below the folder.
fs::path templates_folder() {
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path above =
      beside.parent_path().parent_path();  // PREFIX/lib/saferclip, SOURCE/build/X
  for (const fs::path& folder : {above / "share" / "saferclip" / "configs", above / "configs"}) {
    if (is_file(folder / "saferclip-vit-l14.yaml")) return folder;
  }
  throw DataError(cat("the shipped configurations were not found in ",
                      (above / "share" / "saferclip" / "configs").string(),
                      "; install saferclip again, or run init without --from"));
}

std::string description_of(const fs::path& file) {
  std::string text;
  for (const std::string& line : head_of(read_file(file))) text += trimmed(line.substr(1)) + " ";
  // "Safe-CLIP (arXiv 2311.16254) on …": a full stop ends the sentence only before a blank.
  const std::size_t end = text.find(". ");
  return trimmed(end == std::string::npos ? text : text.substr(0, end));
}

// The position of the "#" that begins a comment, outside quotes.
std::size_t comment_start(const std::string& line) {
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quote != 0) {
      if (line[i] == quote) quote = 0;
    } else if (line[i] == '"' || line[i] == '\'') {
      quote = line[i];
    } else if (line[i] == '#' && (i == 0 || line[i - 1] == ' ')) {
      return i;
    }
  }
  return std::string::npos;
}

}  // namespace

std::vector<Template> shipped_templates() {
  std::vector<Template> templates;
  for (const auto& entry : fs::directory_iterator(templates_folder())) {
    if (!entry.is_regular_file() || entry.path().extension() != ".yaml") continue;
    templates.push_back({entry.path().stem().string(), entry.path(), description_of(entry.path())});
  }
  std::sort(templates.begin(), templates.end(),
            [](const Template& a, const Template& b) { return a.name < b.name; });
  return templates;
}

Template find_template(const std::string& name) {
  const std::string wanted = name.ends_with(".yaml") ? name.substr(0, name.size() - 5) : name;
  std::vector<std::string> names;
  std::vector<std::string> lines;
  for (const Template& each : shipped_templates()) {
    if (each.name == wanted) return each;
    names.push_back(each.name);
    lines.push_back(cat(each.name, ": ", each.description));
  }
  const std::string near = nearest_match(wanted, names);
  throw ConfigError(
      join_problems(cat("--from ", name, ": no such configuration",
                        near.empty() ? "" : cat("; did you mean ", near, "?"), "; there are:"),
                    lines));
}

std::vector<std::pair<std::string, std::string>> key_comments(const std::string& yaml) {
  std::vector<std::pair<std::string, std::string>> comments;
  std::vector<std::pair<std::size_t, std::string>> open;  // indentation and key
  for (const std::string& line : lines_of(yaml)) {
    const std::size_t indent = line.find_first_not_of(' ');
    const std::size_t colon = line.find(':');
    if (indent == std::string::npos || colon == std::string::npos) continue;
    const std::string key = line.substr(indent, colon - indent);
    const bool is_key = key.find_first_of(" #{}[],\"'-") == std::string::npos;
    if (!is_key) continue;
    while (!open.empty() && open.back().first >= indent) open.pop_back();
    open.emplace_back(indent, key);
    std::string path;
    for (const auto& [at, name] : open) path += (path.empty() ? "" : ".") + name;
    const std::size_t start = comment_start(line);
    comments.emplace_back(path, start == std::string::npos ? "" : trimmed(line.substr(start + 1)));
  }
  return comments;
}

StandaloneTemplate standalone(const fs::path& file) {
  StandaloneTemplate result;
  result.tree = read_config_for_check(file, {}).tree;
  std::vector<fs::path> chain;
  for (fs::path next = file; !next.empty();) {
    chain.push_back(next);
    std::vector<std::string> problems;
    const ConfigNode tree = read_config_tree(next, problems);
    const ConfigNode* extends = tree.find("extends");
    next = extends == nullptr ? fs::path() : next.parent_path() / extends->scalar;
  }
  for (const fs::path& each : chain) {
    if (each != file) result.head += cat("# From ", each.filename().string(), ":\n");
    for (const std::string& line : head_of(read_file(each))) result.head += line + "\n";
  }
  // What a later file writes anew has the comment of that file, or none.
  std::reverse(chain.begin(), chain.end());
  for (const fs::path& each : chain) {
    for (auto& [key, text] : key_comments(read_file(each))) {
      const std::string below = key + ".";
      const bool has_comment = !text.empty();
      std::erase_if(result.comments, [&, &key = key](const auto& known) {
        return known.first == key || (has_comment && known.first.starts_with(below));
      });
      if (has_comment) result.comments.emplace_back(key, text);
    }
  }
  return result;
}

}  // namespace saferclip
