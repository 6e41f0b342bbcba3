// What a loss term does, in words.
#pragma once

#include <string>

namespace saferclip {

// "Unsafe text to its target text (uni_txt)"; an unknown term is its own name.
std::string term_title(const std::string& term);

}  // namespace saferclip
