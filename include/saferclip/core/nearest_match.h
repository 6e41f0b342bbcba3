// Guesses what a mistyped word was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// The candidate with the smallest edit distance to `word`, or "" when none is near enough to be a
// likely misspelling (more than a third of the letters differ).
std::string nearest_match(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace saferclip
