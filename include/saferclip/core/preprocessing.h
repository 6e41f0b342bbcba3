// How a model expects pictures and captions to be prepared. Read from the source's configuration,
// part of the cache keys, written by every export.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

// Which side gets the target size: the shortest, followed by a crop; the longest, followed by
// padding; both (squash); none, only a crop.
enum class ResizeMode { kShortest, kLongest, kSquash, kNone };
// Pillow's filters.
enum class Interpolation { kBicubic, kBilinear, kNearest, kLanczos, kBox, kHamming };
constexpr auto enum_words(Interpolation) {
  return std::to_array<EnumWord<Interpolation>>({{Interpolation::kBicubic, "bicubic"},
                                                 {Interpolation::kBilinear, "bilinear"},
                                                 {Interpolation::kNearest, "nearest"},
                                                 {Interpolation::kLanczos, "lanczos"},
                                                 {Interpolation::kBox, "box"},
                                                 {Interpolation::kHamming, "hamming"}});
}
// The offset of the center crop for an odd margin: Hugging Face rounds down, torchvision (OpenAI,
// open_clip) half to even.
enum class CropRounding { kFloor, kHalfEven };
// How a picture that is not plain RGB becomes RGB.
//   kOnWhite: composited on white first, as transformers 5 does.
//   kDropped: resized in the file's own mode (colors weighted by alpha; palette and bilevel
//   pictures by
//     nearest pixel), then stripped of alpha, as torchvision's transforms do with Pillow's pictures
//     (OpenAI, open_clip).
enum class Transparency { kOnWhite, kDropped };

struct Preprocessing {
  std::int64_t image_size = 224;  // pixels, side of the square that the model takes
  std::int64_t resize_to = 0;     // pixels, target size of the resize; 0: image_size
  ResizeMode resize_mode = ResizeMode::kShortest;
  Interpolation interpolation = Interpolation::kBicubic;
  CropRounding crop_rounding = CropRounding::kHalfEven;
  Transparency transparency = Transparency::kDropped;
  std::int64_t fill = 0;  // 0 … 255, gray of the padding
  double rescale = 1.0 / 255;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};

  bool operator==(const Preprocessing&) const = default;

  // The binding of all members makes it a compile error to leave a new one out.
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [image_size, resize_to, resize_mode, interpolation, crop_rounding, transparency, fill,
           rescale, mean, std] = self;
    visit(field("image_size"), image_size);
    visit(field("resize_to"), resize_to);
    visit(field("resize_mode"), resize_mode);
    visit(field("interpolation").keyed_by_number(), interpolation);
    visit(field("crop_rounding"), crop_rounding);
    visit(field("transparency"), transparency);
    visit(field("fill"), fill);
    visit(field("rescale"), rescale);
    visit(field("mean"), mean);
    visit(field("std"), std);
  }
};

// How a caption is cleaned before tokenization.
//   openai: HTML unescape, white space, lower case, as open_clip's clean function `lower`;
//   whitespace: open_clip's, without lower case; canonicalize: open_clip's, without punctuation;
//   hf: nothing for a folder's own tokenizer, which normalizes itself; for CLIP's own vocabulary
//   NFC,
//     white space and lower case, as transformers' CLIPTokenizer;
//   siglip: lower case, no ASCII punctuation, white space, as transformers' SiglipTokenizer;
//   none: nothing for a folder's own tokenizer; white space and lower case for CLIP's vocabulary.
enum class TextCleaning { kOpenAi, kHuggingFace, kNone, kSiglip, kWhitespace, kCanonicalize };
constexpr auto enum_words(TextCleaning) {
  return std::to_array<EnumWord<TextCleaning>>({{TextCleaning::kOpenAi, "openai"},
                                                {TextCleaning::kWhitespace, "whitespace"},
                                                {TextCleaning::kCanonicalize, "canonicalize"},
                                                {TextCleaning::kHuggingFace, "hf"},
                                                {TextCleaning::kSiglip, "siglip"},
                                                {TextCleaning::kNone, "none"}});
}

struct TextSpec {
  std::int64_t context_length = 77;
  std::int64_t vocab_size = 49408;
  std::int64_t bos_id = 49406;  // -1: none
  std::int64_t eos_id = 49407;
  std::int64_t pad_id = 0;  // no influence on a causal tower: it comes after the end token
  // SigLIP: captions are padded to context_length with pad_id, the model attends to the padding,
  // and the pooled token is the last one.
  bool is_padded = false;
  TextCleaning cleaning = TextCleaning::kOpenAi;

  bool operator==(const TextSpec&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [context_length, vocab_size, bos_id, eos_id, pad_id, is_padded, cleaning] = self;
    visit(field("context_length"), context_length);
    visit(field("vocab_size"), vocab_size);
    visit(field("bos_id"), bos_id);
    visit(field("eos_id"), eos_id);
    visit(field("pad_id"), pad_id);
    visit(field("is_padded"), is_padded);
    visit(field("cleaning").keyed_by_number(), cleaning);
  }
};

// One line, for `inspect` and reports.
std::string to_string(const Preprocessing& preprocessing);

}  // namespace saferclip
