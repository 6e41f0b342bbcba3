// How a model's source wants pictures and captions to be prepared. Travels with the weights: read
// from the source's configuration, part of the cache keys, written by every export.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "saferclip/core/fields.h"

namespace saferclip {

// What the resize aims at: the shortest side, then a crop; the longest side, the rest filled up;
// both sides; nothing, only the crop.
enum class ResizeMode { kShortest, kLongest, kSquash, kNone };
// Pillow's filters.
enum class Interpolation { kBicubic, kBilinear, kNearest, kLanczos, kBox, kHamming };
// The offset of the centre crop when the margin is odd: Hugging Face floors, torchvision (OpenAI,
// open_clip) rounds half to even.
enum class CropRounding { kFloor, kHalfEven };
// What becomes of a picture that is not plain RGB.
//   kOnWhite: laid on white before anything else, as transformers 5 does.
//   kDropped: resized as the file holds it (colours weighted by their alpha; palettes and bilevel
//     pictures by the nearest pixel), alpha dropped afterwards, as torchvision's transforms do on
//     Pillow's pictures (OpenAI, open_clip).
enum class Transparency { kOnWhite, kDropped };

struct Preprocessing {
  std::int64_t image_size = 224;  // pixels, square: what the model takes
  std::int64_t resize_to = 0;     // pixels, the side that the resize aims at; 0: image_size
  ResizeMode resize_mode = ResizeMode::kShortest;
  Interpolation interpolation = Interpolation::kBicubic;
  CropRounding crop_rounding = CropRounding::kHalfEven;
  Transparency transparency = Transparency::kDropped;
  std::int64_t fill = 0;  // 0 … 255: the grey around a picture that is smaller than image_size
  double rescale = 1.0 / 255;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};

  bool operator==(const Preprocessing&) const = default;

  // Binding all members by name makes a new one an error of the compiler until it is listed.
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [image_size, resize_to, resize_mode, interpolation, crop_rounding, transparency, fill,
           rescale, mean, std] = self;
    visit(field("image_size"), image_size);
    visit(field("resize_to"), resize_to);
    visit(field("resize_mode"), resize_mode);
    visit(field("interpolation"), interpolation);
    visit(field("crop_rounding"), crop_rounding);
    visit(field("transparency"), transparency);
    visit(field("fill"), fill);
    visit(field("rescale"), rescale);
    visit(field("mean"), mean);
    visit(field("std"), std);
  }
};

// What is done to a caption before its tokenizer sees it.
//   openai: HTML unescape, white space, lower case as open_clip's clean function `lower` does;
//   whitespace, canonicalize: open_clip's other two, without lower case, and without punctuation;
//   hf: nothing before a folder's own tokenizer, which normalises by itself; for CLIP's own
//     vocabulary NFC, white space, lower case as transformers' CLIPTokenizer does;
//   siglip: lower case, no ASCII punctuation, white space, as transformers' SiglipTokenizer does;
//   none: only white space and case for CLIP's vocabulary, nothing at all for a folder's tokenizer.
enum class TextCleaning { kOpenAi, kHuggingFace, kNone, kSiglip, kWhitespace, kCanonicalize };

struct TextSpec {
  std::int64_t context_length = 77;
  std::int64_t vocab_size = 49408;
  std::int64_t bos_id = 49406;  // -1: captions have no begin mark
  std::int64_t eos_id = 49407;
  std::int64_t pad_id = 0;  // what comes after EOT has no influence on a causal tower
  // SigLIP: captions are always padded to context_length with pad_id, and the model attends to the
  // padding; the pooled token is the last position.
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
    visit(field("cleaning"), cleaning);
  }
};

std::string to_string(Interpolation interpolation);
// One-line texts for `inspect` and reports.
std::string to_string(const Preprocessing& preprocessing);
std::string to_string(TextCleaning cleaning);

}  // namespace saferclip
