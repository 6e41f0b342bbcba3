// One walk down dotted paths serves every reader of an evaluation document, so that tables, pages
// and checkpoint.best_metric agree on what a path means. Documents come from files that may be old
// or cut short: an absent key is an empty result, never an exception.
#include "saferclip/eval/document.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"

namespace saferclip {

std::string path_word(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string dotted(const std::vector<std::string>& names) {
  std::vector<std::string> words = names;
  for (std::string& word : words) word = path_word(word);
  return join(words, ".");
}

const OrderedJson* find_path(const OrderedJson& json, const std::string& path) {
  const OrderedJson* node = &json;
  std::string rest = path;
  while (!rest.empty()) {
    const std::size_t dot = rest.find('.');
    if (!node->is_object()) return nullptr;
    const auto found = node->find(rest.substr(0, dot));
    if (found == node->end()) return nullptr;
    node = &*found;
    rest = dot == std::string::npos ? "" : rest.substr(dot + 1);
  }
  return node;
}

std::optional<double> number_at(const OrderedJson& json, const std::string& path) {
  const OrderedJson* node = find_path(json, path);
  return node != nullptr && node->is_number() ? std::optional(node->get<double>()) : std::nullopt;
}

const OrderedJson& last_model(const OrderedJson& document) {
  static const OrderedJson kNone;
  for (const char* side : {"after", "before"}) {
    const OrderedJson* model = find_path(document, side);
    if (model != nullptr && model->is_object()) return *model;
  }
  return kNone;
}

std::string ranking_text(const OrderedJson& document) {
  const OrderedJson* hysac = find_path(document, "after.hysac");
  if (hysac == nullptr) return "";
  if (hysac->value("score", "") == "cosine") {
    return "ranked by cosine, which objective hysac did not train";
  }
  const OrderedJson* mode = find_path(*hysac, "traversal.mode");
  const std::string moved = mode == nullptr ? "" : ", traversal " + mode->get<std::string>();
  return "after: ranked by Lorentz distance" + moved + "; before: by cosine";
}

std::optional<std::pair<double, double>> interval_at(const OrderedJson& model,
                                                     const std::string& path) {
  const OrderedJson* intervals = find_path(model, "intervals");
  if (intervals == nullptr || !intervals->is_object()) return std::nullopt;
  const auto found = intervals->find(path);  // the paths are its keys
  if (found == intervals->end() || !found->is_array() || found->size() != 2) return std::nullopt;
  return std::pair((*found)[0].get<double>(), (*found)[1].get<double>());
}

}  // namespace saferclip
