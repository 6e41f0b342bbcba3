// An evaluation document as a table for the terminal.
#pragma once

#include <string>

#include "saferclip/evaluate/scores_json.h"

namespace saferclip {

// Before, after and change, at most 100 columns wide.
std::string evaluation_table(const OrderedJson& document);

}  // namespace saferclip
