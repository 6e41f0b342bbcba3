#include "saferclip/core/preprocessing.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

std::string to_string(const Preprocessing& p) {
  std::string text =
      cat(p.image_size, " px, ",
          p.resize_mode == ResizeMode::kShortest ? "shortest side + crop" : "squash", ", ",
          p.interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear", ", crop ",
          p.crop_rounding == CropRounding::kFloor ? "floor" : "half-even", ", mean");
  for (const double value : p.mean) text += cat(" ", value);
  text += ", std";
  for (const double value : p.std) text += cat(" ", value);
  return text;
}

std::string to_string(TextCleaning cleaning) {
  switch (cleaning) {
    case TextCleaning::kOpenAi:
      return "openai";
    case TextCleaning::kHuggingFace:
      return "hf";
    case TextCleaning::kNone:
      return "none";
    case TextCleaning::kSiglip:
      return "siglip";
  }
  return "";
}

}  // namespace saferclip
