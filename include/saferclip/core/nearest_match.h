// Suggestions for mistyped words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// The candidate with the smallest edit distance to `word`, the first of several; "" if the distance
// exceeds a third of the letters, which is unlikely to be a misspelling.
std::string nearest_match(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace saferclip
