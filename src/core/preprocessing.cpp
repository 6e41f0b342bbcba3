// Texts for inspect, reports and cache descriptions. Numbers are printed with all digits, so that
// two values that differ never look the same; defaults that hardly ever change (fill, rescale) are
// mentioned only if they do.
#include "saferclip/core/preprocessing.h"

#include <array>
#include <charconv>

#include "saferclip/core/text_format.h"

namespace saferclip {

namespace {

std::string resize_text(const Preprocessing& p) {
  const std::int64_t side = p.resize_to == 0 ? p.image_size : p.resize_to;
  const std::string to = side == p.image_size ? "" : cat(" to ", side);
  switch (p.resize_mode) {
    case ResizeMode::kShortest:
      return cat("shortest side", to, " + crop");
    case ResizeMode::kLongest:
      return cat("longest side", to, " + filling");
    case ResizeMode::kSquash:
      return cat("squash", to);
    case ResizeMode::kNone:
      return "crop alone";
  }
  return "";
}

// The shortest text that reads back as the same number.
std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

std::string to_string(const Preprocessing& p) {
  std::string text =
      cat(p.image_size, " px, ", resize_text(p), ", ", to_string(p.interpolation), ", crop ",
          p.crop_rounding == CropRounding::kFloor ? "floor" : "half-even", ", transparency ",
          p.transparency == Transparency::kOnWhite ? "on white" : "dropped");
  if (p.fill != 0) text += cat(", filled with ", p.fill);
  if (p.rescale != 1.0 / 255) text += cat(", values times ", number_text(p.rescale));
  text += ", mean";
  for (const double value : p.mean) text += " " + number_text(value);
  text += ", std";
  for (const double value : p.std) text += " " + number_text(value);
  return text;
}

}  // namespace saferclip
