// Writes tokenizer folders for exports. Contents and order of keys follow what transformers'
// save_pretrained writes for CLIP, so that every client loads the files; the output is a function
// of the vocabulary, so equal exports are equal in every byte.
#include "text/tokenizer_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using OrderedJson = nlohmann::ordered_json;

// CLIP's pattern in the syntax of the tokenizers library (Oniguruma).
constexpr const char* kPattern =
    "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}"
    "\\p{N}]+";

// Ordered by id, as clients write it.
OrderedJson by_id(const VocabularyIds& ids) {
  std::vector<const std::pair<const std::string, std::int32_t>*> entries;
  for (const auto& entry : ids) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return a->second < b->second; });
  OrderedJson json = OrderedJson::object();
  for (const auto* entry : entries) json[entry->first] = entry->second;
  return json;
}

OrderedJson special_token(const std::string& content) {
  return {{"content", content},
          {"lstrip", false},
          {"normalized", false},
          {"rstrip", false},
          {"single_word", false}};
}

OrderedJson added_token(const AddedToken& token) {
  return {{"id", token.id},
          {"content", token.content},
          {"lstrip", token.strips_left},
          {"normalized", token.is_normalized},
          {"rstrip", token.strips_right},
          {"single_word", token.is_single_word},
          {"special", token.is_special}};
}

OrderedJson post_processor(const ClipVocabulary& vocabulary) {
  return {{"type", "RobertaProcessing"},
          {"sep", {vocabulary.eos, vocabulary.ids.at(vocabulary.eos)}},
          {"cls", {vocabulary.bos, vocabulary.ids.at(vocabulary.bos)}},
          {"trim_offsets", false},
          {"add_prefix_space", false}};
}

OrderedJson bpe_model(const ClipVocabulary& vocabulary) {
  OrderedJson merges = OrderedJson::array();
  for (const auto& [a, b] : vocabulary.merges) merges.push_back({a, b});
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", vocabulary.unk},
          {"continuing_subword_prefix", ""},
          {"end_of_word_suffix", "</w>"},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", by_id(vocabulary.ids)},
          {"merges", merges}};
}

}  // namespace

std::string vocab_json(const VocabularyIds& ids) { return by_id(ids).dump() + "\n"; }

std::string merges_txt(const MergeList& merges) {
  std::string text = "#version: 0.2\n";
  for (const auto& [a, b] : merges) text += cat(a, " ", b, "\n");
  return text;
}

std::string clip_tokenizer_json(const ClipVocabulary& vocabulary,
                                const std::vector<AddedToken>& added) {
  for (const std::string& mark : {vocabulary.bos, vocabulary.eos}) {
    if (vocabulary.ids.contains(mark)) continue;
    throw DataError(cat("the special token \"", mark, "\" is not in the vocabulary"));
  }
  OrderedJson tokens = OrderedJson::array();
  for (const AddedToken& token : added) tokens.push_back(added_token(token));
  const OrderedJson byte_level{{"type", "ByteLevel"},
                               {"add_prefix_space", false},
                               {"trim_offsets", true},
                               {"use_regex", true}};
  const OrderedJson json{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", tokens},
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
      {"post_processor", post_processor(vocabulary)},
      {"decoder", byte_level},
      {"model", bpe_model(vocabulary)}};
  return json.dump() + "\n";
}

std::string clip_tokenizer_config(const ClipVocabulary& vocabulary, std::int64_t context_length) {
  const OrderedJson config{{"add_prefix_space", false},
                           {"bos_token", special_token(vocabulary.bos)},
                           {"do_lower_case", true},
                           {"eos_token", special_token(vocabulary.eos)},
                           {"errors", "replace"},
                           {"model_max_length", context_length},
                           {"pad_token", vocabulary.pad},
                           {"tokenizer_class", "CLIPTokenizer"},
                           {"unk_token", special_token(vocabulary.unk)}};
  return config.dump(2) + "\n";
}

std::string clip_special_tokens_map(const ClipVocabulary& vocabulary) {
  const OrderedJson specials{{"bos_token", special_token(vocabulary.bos)},
                             {"eos_token", special_token(vocabulary.eos)},
                             {"pad_token", vocabulary.pad},
                             {"unk_token", special_token(vocabulary.unk)}};
  return specials.dump(2) + "\n";
}

TokenizerFiles clip_tokenizer_files(const ClipVocabulary& vocabulary, const TextSpec& spec) {
  std::vector<AddedToken> marks;
  for (const std::string& text : {vocabulary.bos, vocabulary.eos}) {
    AddedToken mark;
    mark.content = text;
    const auto found = vocabulary.ids.find(text);
    if (found == vocabulary.ids.end()) {
      throw DataError(cat("the special token \"", text, "\" is not in the vocabulary"));
    }
    mark.id = found->second;
    mark.is_special = true;
    marks.push_back(mark);
  }
  return {{"vocab.json", vocab_json(vocabulary.ids)},
          {"merges.txt", merges_txt(vocabulary.merges)},
          {"tokenizer_config.json", clip_tokenizer_config(vocabulary, spec.context_length)},
          {"special_tokens_map.json", clip_special_tokens_map(vocabulary)},
          {"tokenizer.json", clip_tokenizer_json(vocabulary, marks)}};
}

}  // namespace saferclip
