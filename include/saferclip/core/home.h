// Home folders in paths that no shell has expanded: in configurations, quotes, `--set key=~/x`.
#pragma once

#include <string>

namespace saferclip {

// Replaces the home folder in "~", "~/x", "~user/x", "$HOME/x" and "${HOME}/x". Returns any other
// text unchanged, including "~x" if there is no user x.
std::string expand_home(const std::string& path);

}  // namespace saferclip
