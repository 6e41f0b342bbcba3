// Renders an evaluation document as HTML.
#pragma once

#include <string>

#include "saferclip/eval/document.h"

namespace saferclip {

// The most important figures, as tiles.
std::string headline_html(const OrderedJson& document);
// Before, after and change with intervals, including zero-shot sets, real images and all of
// SafeGround.
std::string result_tables_html(const OrderedJson& document);
// Safety against preservation as the strength varies; empty without strengths.
std::string strengths_html(const OrderedJson& document);
// The share of unsafe results by tag; empty without tags.
std::string tags_html(const OrderedJson& document);
// Drift of weights and embeddings, and the figures that reveal a collapsed model.
std::string drift_html(const OrderedJson& document);

}  // namespace saferclip
