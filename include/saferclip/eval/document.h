// Reading the numbers of an evaluation document: {"split", "n", "before": {…}, "after": {…}, …}.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

using OrderedJson = nlohmann::ordered_json;

// Names of a zero-shot set, a tag or a group may hold dots; the words of a path do not:
// "my.set" -> "my_set"; {"zero_shot", "my.set", "top1"} -> "zero_shot.my_set.top1".
std::string path_word(std::string name);
std::string dotted(const std::vector<std::string>& names);

// The value at a dotted path, null if it is absent; the path "" is the document itself.
const OrderedJson* find_path(const OrderedJson& json, const std::string& path);
std::optional<double> number_at(const OrderedJson& json, const std::string& path);

// What `before` and `after` hold: the numbers of the tuned model, or of the reference in a document
// without a tuned one. Null if neither is there.
const OrderedJson& last_model(const OrderedJson& document);

// What the columns are ranked by, if not both by cosine or if the tuned model was trained for
// something else: "after: ranked by Lorentz distance; before: by cosine". Otherwise empty.
std::string ranking_text(const OrderedJson& document);

// The 95 % interval of a model's number: low, high.
std::optional<std::pair<double, double>> interval_at(const OrderedJson& model,
                                                     const std::string& path);

}  // namespace saferclip
