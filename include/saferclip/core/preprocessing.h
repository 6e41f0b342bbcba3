// How a model's source wants pictures and captions to be prepared. Travels with the weights: read
// from the source's configuration, part of the cache keys, written by every export.
#pragma once

#include <array>
#include <cstdint>
#include <string>

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
};

// One-line texts for cache keys, `inspect` and reports.
std::string to_string(const Preprocessing& preprocessing);
std::string to_string(TextCleaning cleaning);

}  // namespace saferclip
