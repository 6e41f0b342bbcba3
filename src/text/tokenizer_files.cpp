#include "text/tokenizer_files.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kBegin = "<|startoftext|>";
constexpr const char* kEnd = "<|endoftext|>";
// CLIP's pattern as the tokenizers library (Oniguruma) takes it.
constexpr const char* kPattern =
    "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}"
    "\\p{N}]+";

std::vector<std::pair<std::string, std::int32_t>> by_id(const BytePairEncoder& encoder,
                                                        const TextSpec& spec) {
  std::vector<std::pair<std::string, std::int32_t>> entries(
      static_cast<std::size_t>(spec.vocab_size));
  for (const auto& [symbol, id] : encoder.vocabulary())
    entries[static_cast<std::size_t>(id)] = {symbol, id};
  entries[static_cast<std::size_t>(spec.bos_id)] = {kBegin, static_cast<std::int32_t>(spec.bos_id)};
  entries[static_cast<std::size_t>(spec.eos_id)] = {kEnd, static_cast<std::int32_t>(spec.eos_id)};
  return entries;
}

Json special_token(const char* content) {
  return {{"content", content},
          {"lstrip", false},
          {"normalized", false},
          {"rstrip", false},
          {"single_word", false}};
}

Json added_token(const char* content, std::int64_t id) {
  Json token{{"id", id}};
  token.update(special_token(content));
  token["special"] = true;
  return token;
}

Json fast_tokenizer(const Json& vocabulary, const BytePairEncoder& encoder, const TextSpec& spec) {
  Json merges = Json::array();
  for (const auto& [a, b] : encoder.merges()) merges.push_back({a, b});
  const Json byte_level{{"type", "ByteLevel"},
                        {"add_prefix_space", false},
                        {"trim_offsets", true},
                        {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {added_token(kBegin, spec.bos_id), added_token(kEnd, spec.eos_id)}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "NFC"}},
              {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}},
              {{"type", "Lowercase"}}}}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", kPattern}}},
               {"behavior", "Removed"},
               {"invert", true}},
              byte_level}}}},
          {"post_processor",
           {{"type", "RobertaProcessing"},
            {"sep", {kEnd, spec.eos_id}},
            {"cls", {kBegin, spec.bos_id}},
            {"trim_offsets", false},
            {"add_prefix_space", false}}},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", kEnd},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", "</w>"},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> tokenizer_files(const BytePairEncoder& encoder,
                                                                 const TextSpec& spec) {
  Json vocabulary = Json::object();
  for (const auto& [symbol, id] : by_id(encoder, spec)) vocabulary[symbol] = id;
  std::string merges = "#version: 0.2\n";
  for (const auto& [a, b] : encoder.merges()) merges += cat(a, " ", b, "\n");
  const Json config{{"add_prefix_space", false},
                    {"bos_token", special_token(kBegin)},
                    {"do_lower_case", true},
                    {"eos_token", special_token(kEnd)},
                    {"errors", "replace"},
                    {"model_max_length", spec.context_length},
                    {"pad_token", kEnd},
                    {"tokenizer_class", "CLIPTokenizer"},
                    {"unk_token", special_token(kEnd)}};
  const Json specials{{"bos_token", special_token(kBegin)},
                      {"eos_token", special_token(kEnd)},
                      {"pad_token", kEnd},
                      {"unk_token", special_token(kEnd)}};
  return {{"vocab.json", vocabulary.dump() + "\n"},
          {"merges.txt", merges},
          {"tokenizer_config.json", config.dump(2) + "\n"},
          {"special_tokens_map.json", specials.dump(2) + "\n"},
          {"tokenizer.json", fast_tokenizer(vocabulary, encoder, spec).dump() + "\n"}};
}

}  // namespace saferclip
