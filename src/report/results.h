// What an evaluation document says, as HTML.
#pragma once

#include <string>

#include "saferclip/eval/document.h"

namespace saferclip {

// The figures that matter first, as tiles.
std::string headline_html(const OrderedJson& document);
// Before, after and change with intervals; zero-shot sets, real images, SafeGround in full.
std::string result_tables_html(const OrderedJson& document);
// Safety against preservation over the strength; empty without strengths.
std::string strengths_html(const OrderedJson& document);
// Unsafe share by tag; empty without tags.
std::string tags_html(const OrderedJson& document);
// Drift of weights and embeddings, and what exposes a collapsed model.
std::string drift_html(const OrderedJson& document);

}  // namespace saferclip
