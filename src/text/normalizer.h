// The `normalizer` and `pre_tokenizer` of a tokenizer.json, as the tokenizers library (0.23) runs
// them.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

using TextStep = std::function<std::u32string(std::u32string)>;

struct Normalizer {
  std::vector<TextStep> steps;
  bool is_clip = false;  // what transformers' CLIPTokenizer builds by itself: NFC, \s+, lower case

  std::u32string operator()(std::u32string text) const {
    for (const TextStep& step : steps) text = step(std::move(text));
    return text;
  }
};

// Cuts each part into smaller ones, or changes it.
using PartStep = std::function<std::vector<std::u32string>(std::vector<std::u32string>)>;

struct PreTokenizer {
  std::vector<PartStep> steps;
  bool is_byte_level = false;  // each part's bytes become the symbols of GPT-2's table
  bool is_clip = false;        // CLIP's pattern, then byte level
  bool has_marks = false;      // before CLIP's pattern

  std::vector<std::u32string> operator()(std::u32string text) const {
    std::vector<std::u32string> parts;
    parts.push_back(std::move(text));
    for (const PartStep& step : steps) parts = step(std::move(parts));
    return parts;
  }
};

// `json` may be null. What is not supported gets a line in `problems`, with its place and what is
// known. A value of another type than expected throws nlohmann's exception.
Normalizer read_normalizer(const nlohmann::json& json, std::vector<std::string>& problems);
PreTokenizer read_pre_tokenizer(const nlohmann::json& json, std::vector<std::string>& problems);

}  // namespace saferclip
