// Home folders in paths, for what no shell has expanded: configurations, quotes, `--set key=~/x`.
#pragma once

#include <string>

namespace saferclip {

// "~", "~/x", "~user/x", "$HOME/x" and "${HOME}/x" with the home folder in its place; any other
// text, a file that really is called ~x among it, as it is.
std::string expand_home(const std::string& path);

}  // namespace saferclip
