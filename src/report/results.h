// Renders an evaluation document as HTML.
#pragma once

#include <string>

#include "saferclip/eval/document.h"
#include "saferclip/eval/figures.h"

namespace saferclip {

inline constexpr const char* kSafeRecall = "retrieval.text_to_image.r@1";
inline constexpr const char* kSafeImageRecall = "retrieval.image_to_text.r@1";
inline constexpr const char* kAllSafe = "safeground.gs";

// Before, after and change with intervals: retrieval from text to image and from image to text
// apart, zero-shot sets, real images and all of SafeGround.
std::string result_tables_html(const OrderedJson& document);
// Every figure as the strength varies, and safety against preservation; empty without strengths.
std::string strengths_html(const OrderedJson& document);
// The share of unsafe results by tag; empty without tags.
std::string tags_html(const OrderedJson& document);
// Which way is better, as an arrow and, for screen readers, in words; empty for neither.
std::string arrow_html(const Figure& figure);
// Small, and never broken over lines; empty stays empty.
std::string interval_html(const std::string& interval);
// Drift of weights and embeddings, and the figures that reveal a collapsed model.
std::string drift_html(const OrderedJson& document);

}  // namespace saferclip
