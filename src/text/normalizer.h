// The `normalizer` and `pre_tokenizer` of a tokenizer.json, with the behavior of the tokenizers
// library (0.23).
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
  bool is_clip = false;  // the normalizer of transformers' CLIPTokenizer: NFC, \s+, lower case

  std::u32string operator()(std::u32string text) const {
    for (const TextStep& step : steps) text = step(std::move(text));
    return text;
  }
};

// Splits or changes each part.
using PartStep = std::function<std::vector<std::u32string>(std::vector<std::u32string>)>;

struct PreTokenizer {
  std::vector<PartStep> steps;
  bool is_byte_level = false;  // the bytes of each part become symbols of GPT-2's table
  bool is_clip = false;        // CLIP's pattern, then ByteLevel
  bool has_marks = false;      // special tokens precede CLIP's pattern

  std::vector<std::u32string> operator()(std::u32string text) const {
    std::vector<std::u32string> parts;
    parts.push_back(std::move(text));
    for (const PartStep& step : steps) parts = step(std::move(parts));
    return parts;
  }
};

// `json` may be null. Adds a line to `problems` for each unsupported step, with the supported ones.
// Throws nlohmann's exception for a value of an unexpected type.
Normalizer read_normalizer(const nlohmann::json& json, std::vector<std::string>& problems);
PreTokenizer read_pre_tokenizer(const nlohmann::json& json, std::vector<std::string>& problems);

}  // namespace saferclip
