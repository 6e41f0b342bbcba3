// Prints an evaluation document as a table for the terminal.
#pragma once

#include <string>

#include "saferclip/eval/document.h"

namespace saferclip {

// Before and after with intervals, plus strengths and the paired comparison if the document has
// them. At most 100 columns wide.
std::string evaluation_table(const OrderedJson& document);

}  // namespace saferclip
