// How a model's source wants pictures and captions to be prepared. Travels with the weights: read
// from the source's configuration, part of the cache keys, written by every export.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "saferclip/core/fields.h"

namespace saferclip {

enum class ResizeMode { kShortest, kSquash };
enum class Interpolation { kBicubic, kBilinear };
// The offset of the centre crop when the margin is odd: Hugging Face floors, torchvision (OpenAI,
// open_clip) rounds half to even.
enum class CropRounding { kFloor, kHalfEven };

struct Preprocessing {
  std::int64_t image_size = 224;  // pixels, square
  ResizeMode resize_mode = ResizeMode::kShortest;
  Interpolation interpolation = Interpolation::kBicubic;
  CropRounding crop_rounding = CropRounding::kHalfEven;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};

  bool operator==(const Preprocessing&) const = default;

  // Binding all members by name makes a new one an error of the compiler until it is listed.
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    auto& [image_size, resize_mode, interpolation, crop_rounding, mean, std] = self;
    visit(field("image_size"), image_size);
    visit(field("resize_mode"), resize_mode);
    visit(field("interpolation"), interpolation);
    visit(field("crop_rounding"), crop_rounding);
    visit(field("mean"), mean);
    visit(field("std"), std);
  }
};

// `openai`: HTML unescape, whitespace, lower case as open_clip's default clean does; `hf`: NFC,
// whitespace, lower case as transformers' CLIPTokenizer does; `siglip`: lower case, no ASCII
// punctuation, whitespace, as transformers' SiglipTokenizer does; `none`: only whitespace and case
// for CLIP's vocabulary, nothing at all for SentencePiece's.
enum class TextCleaning { kOpenAi, kHuggingFace, kNone, kSiglip };

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

// One-line texts for `inspect` and reports.
std::string to_string(const Preprocessing& preprocessing);
std::string to_string(TextCleaning cleaning);

}  // namespace saferclip
